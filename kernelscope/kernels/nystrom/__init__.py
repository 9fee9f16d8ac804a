"""Landmarks, Nyström approximations, and the paper's bounds on them."""
