"""The paper's human study: which of two images, shown for one second, looks more authentic?

images.py     folders of images, one for each method, and their copies under neutral names
study.py      the questions of each rater, their order and sides
answers.py    the file of answers
results.py    preferences with their confidence intervals, and the tables
front_end.py  what runs in the rater's browser
page.py       the page; it alone needs gradio
"""
