"""Images that belong together, and videos, in steady colors.

series.py         images one after the other, with the state that they share
scenes.py         where a scene ends
color_holding.py  what has not changed keeps its colors
video.py          videos in, color videos with the same sound out
making.py         a video from end to end, to be killed and resumed
parts.py          what is finished of a video
reading.py        frames of a video
writing.py        frames to a video

Nothing is imported here, so that what a video is can be asked without PyTorch.
"""
