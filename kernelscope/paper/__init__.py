"""The paper's figures and tables, and a user's own studies: networks are planned, trained once each, and judged."""
