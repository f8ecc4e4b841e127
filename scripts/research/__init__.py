"""Tools that measure, compare and draw; the scripts beside this folder run them from a checkout."""
