"""Kernels without a finite feature map."""
