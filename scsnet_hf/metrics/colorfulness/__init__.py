"""The `evaluate` module `colorfulness`."""
