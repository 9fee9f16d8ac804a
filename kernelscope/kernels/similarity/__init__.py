"""Measures of similarity beside the loss, and what is left of the loss after a repair."""
