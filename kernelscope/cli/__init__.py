"""One verb, one file; main.py loads verbs lazily."""
