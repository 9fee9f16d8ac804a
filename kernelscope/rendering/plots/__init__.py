"""Figures: one subject one file; kinds.py lists them."""
