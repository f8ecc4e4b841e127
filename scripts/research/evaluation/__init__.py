"""Evaluation on color photographs: shrink and remove the color, reconstruct, compare.

samples.py           what is reconstructed, with the references for it
methods.py           what is compared: trivial baselines, an oracle, cascades, modes of the pipeline
external_models.py   colorizers and upscalers of other projects
external_results.py  folders of images that other programs wrote
protocol.py          which images are reconstructed in which mode
metrics.py           numbers of results of the truth's size
distributions.py     distances between the set of results and the set of truths
consistency.py       effects of the reference, the magnification and the source's size
run.py               all metrics of all methods over a stream of photographs
run_folder.py        the numbers of each image, so that a run can be resumed
report.py            tables, and the record of a run
model_evaluation.py  the whole evaluation of one model
flicker.py           color flicker in videos
pixels.py            an image in the units of the metrics
hashes.py            fingerprints of images and weights

Every number is of 8-bit sRGB images; CIE Lab is that of scsnet_hf/color.py. Low-resolution images
are made by Pillow's antialiased bicubic kernel.
"""
