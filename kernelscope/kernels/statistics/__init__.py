"""Sampling intervals, and what chance gives."""
