"""Closed forms, random pairs and attacks that every installation can run."""
