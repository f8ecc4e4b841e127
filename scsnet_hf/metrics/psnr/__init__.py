"""The `evaluate` module `psnr`."""
