"""The `evaluate` module `ssim`."""
