"""Where examples come from, with a fingerprint of their order."""
