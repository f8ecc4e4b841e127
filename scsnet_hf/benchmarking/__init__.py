"""Measures what networks cost: parameters, multiply-adds, time, memory.

process.py    functions in fresh processes
meters.py     one number of one network
rounds.py     networks side by side, interleaved
tables.py     the tables of README
cascades.py   this package's network against a colorizer and an upscaler, one after the other
heads.py      continuous pixel mapping against other heads for any magnification
backends.py   whole calls of pipelines, on PyTorch and on ONNX Runtime
chart.py      the efficiency chart of the paper (Fig. 2)

But for backends.py only networks are timed, not files, resizing or colour spaces. Their weights
may be random: speed does not depend on them. `scripts/benchmark.py` is the command.
"""
