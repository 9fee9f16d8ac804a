"""Kernels computed entry by entry: RBF and polynomial; and the names of all kernel functions."""
