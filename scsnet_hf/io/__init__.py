"""Image files on disk: finding, reading, writing.

folders.py       files of a folder that concern us
work.py          which files the command line reads, and where their results go
colorizing.py    one of them, from disk to disk
side_by_side.py  several of them at once
remarks.py       warnings as remarks to the user
frames.py        animations and pages
metadata.py      what files say beside their pixels
saving.py        images to files of any format
deep.py          PNG and TIFF with 16 bits a channel

(How a single image is read stands in `image_io`, which the Hub needs too.)
"""
