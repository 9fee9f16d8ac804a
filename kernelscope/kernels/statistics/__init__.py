"""Sampling intervals, and permutation nulls."""
