"""Data sets, splits and example ids."""
