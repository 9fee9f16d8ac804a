"""Readers of strangers' files under a fuzzer: ``make fuzz SECONDS=60``, see ``run.py``."""
