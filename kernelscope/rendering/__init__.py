"""From a report to eyes: words, tables, pages and figures."""
