"""Measures what networks cost: parameters, multiply-adds, time, memory.

process.py    functions in fresh processes
meters.py     one number of one network
rounds.py     things side by side, interleaved
tables.py     the tables of README
images.py   what they are measured on

Networks alone, not files, resizing or color spaces; weights may be random, since speed does not
depend on them:

cascades.py   this package's network against a colorizer and an upscaler, one after the other
heads.py      continuous pixel mapping against other heads for any magnification

Whole calls of pipelines:

sizes.py        for results of many sizes
call_stages.py  where their time goes, from file to file
folder.py       one after the other, beside the command
backends.py     on PyTorch and on ONNX Runtime

Training and the Space:

loader.py         how fast training images come, and whether that suffices
training_step.py  how fast training takes them in
space.py          how long a visitor waits

And charts, from the files that `scripts/benchmark.py`, the command, has written:

records.py     those files
chart.py       the efficiency chart of the paper (Fig. 2)
size_chart.py  time and memory over the size of results
"""
