"""From features to a report, and to pages and figures."""
