"""One forward pass: what named layers take in and put out, pooled into rows."""
