"""From a network to disk and back."""
