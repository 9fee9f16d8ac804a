"""Where networks come from, and listening to them."""
