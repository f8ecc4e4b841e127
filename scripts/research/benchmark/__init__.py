"""What networks and programs cost: parameters, multiply-adds, time and memory.

process.py        functions in fresh processes
profiling.py      one cost of one function
interleaved.py    costs of several things side by side
tables.py         the results as Markdown
images.py         images to measure with

Networks alone, without files, resizing or color conversion; weights may be random, since speed does
not depend on them:

networks.py       this package's network and cascades of a colorizer and an upscaler
upsamplers.py     continuous pixel mapping and other upsamplers of any magnification

Whole calls of the pipeline:

result_sizes.py   results of many sizes
large_files.py    large images and videos, from file to file
call_profile.py   where the time of a call goes, from file to file
models.py         several models and number formats
folder.py         a folder, by single calls and by the command

Training and the Space:

loader.py         images per second that the loader delivers
training_step.py  images per second that training consumes
space.py          how long a visitor waits
"""
