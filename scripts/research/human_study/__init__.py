"""The paper's human study: which of two images, seen for one second, looks more authentic?

images.py   folders of images, one for each method, and their copies under neutral names
study.py      who is asked what, in which order and on which side
answers.py    the file of answers
results.py    preferences with their intervals, and the tables
front_end.py  what runs in the rater's browser
page.py       the page; it alone needs gradio
"""

from .answers import Answer, AnswerFile, read_answers
from .images import copy_images, find_images
from .results import (
    Preference,
    markdown_tables,
    preferences,
    rater_habits,
    wilson_interval,
)
from .study import (
    Question,
    Study,
    clean_name,
    comparisons,
    plan,
)

__all__ = [
    "Answer",
    "AnswerFile",
    "Preference",
    "Question",
    "Study",
    "clean_name",
    "comparisons",
    "copy_images",
    "find_images",
    "markdown_tables",
    "plan",
    "preferences",
    "rater_habits",
    "read_answers",
    "wilson_interval",
]
