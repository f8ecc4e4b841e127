"""Videos, animations and albums in steady colors.

series.py             images that belong together, colorized one after the other
color_propagation.py  where nothing changed, colors of the previous image
scenes.py             where a scene ends
colorize.py           a video from file to file, resumable
segments.py           the finished segments of a video
reading.py            frames of a video (needs PyAV)
writing.py            segments and the video from them (needs PyAV)
video_colorizer.py    one video file of the command
"""
