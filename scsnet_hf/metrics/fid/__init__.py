"""The `evaluate` module `fid`."""
