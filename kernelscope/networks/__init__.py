"""Architectures: those built in, and those of other libraries."""
