"""Weights on disk: read without running any of their code, recognised, built, described."""
