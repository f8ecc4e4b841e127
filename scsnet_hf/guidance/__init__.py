"""What helps a person to guide colors: attention maps, zoom, and where references come from.

hint_editor.py          the color hints of an image while a person edits them, and their file
hint_preview.py         an image whose colors under changing hints are shown at once
attention_maps.py       which parts of a reference each part of the source attends to
zoom.py                 windows of one image at any magnification
reference_gallery.py    images of an album that suit a source as its reference
reference_from_text.py  a reference generated from a text (needs diffusers)
points.py               points in images
"""
