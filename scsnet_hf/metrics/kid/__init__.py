"""The `evaluate` module `kid`."""
