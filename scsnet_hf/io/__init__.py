"""Image files of the command: found, opened once, colorized several at a time, written atomically.

folders.py         image and video files of a folder
jobs.py            which files the command reads, and where their results go
image_file.py      one opened image file: format, frames or pages, metadata
image_colorizer.py one image file, from disk to disk
parallel.py        several files at once
metadata.py        EXIF, XMP, text and resolution, carried over to the result
saving.py          images to files of any format
animations.py      animations and pages to files
lossless.py        PNG and TIFF, 8 or 16 bits a channel, written while the image is computed
png.py tiff.py     the two formats
deflate.py         their compression, in several threads
panels.py          captioned images side by side
atomic_files.py    files that appear only when they are complete
run_settings.py    settings that a resumed run must share
error_lines.py     an error as one line
warning_lines.py   warnings of the package as lines for the user
extras.py          which extra installs a package that is missing
formats.py         formats of image files that are written

How a single image is decoded is in `image_io`, which the Hub needs too. Nothing here knows videos
beyond their suffixes.
"""
