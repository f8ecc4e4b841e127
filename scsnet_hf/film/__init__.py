"""Pictures that belong together, and films, in steady colours.

series.py         pictures one after the other, with the state that they share
scenes.py         where a scene ends
color_holding.py  what has not changed keeps its colours
video.py          films in, colour films with the same sound out
making.py         a film from end to end, to be killed and resumed
parts.py          what is finished of a film
reading.py        frames of a film
writing.py        frames to a film

Nothing is imported here, so that what a film is can be asked without PyTorch.
"""
