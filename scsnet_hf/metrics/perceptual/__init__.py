"""The `evaluate` module `perceptual`."""
