"""The questions of each rater, their order and sides."""

import math
import random
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import combinations
from pathlib import Path

from .answers import Answer, AnswerFile

Comparison = tuple[str, str]  # two methods

_NAME = re.compile(r"\w[\w .'-]{0,39}")
_LONGEST_REACTION = 24 * 3600  # seconds


@dataclass(frozen=True)
class Question:
    """Which of two methods gave the more authentic image?

    Args:
        image: name.
        a: a method.
        b: the other method.
        left: the one of the two whose image is on the left.
    """

    image: str
    a: str
    b: str
    left: str

    @property
    def right(self) -> str:
        """The method whose image is on the right."""
        return self.b if self.left == self.a else self.a


def comparisons(
    methods: Sequence[str], truth: str | None = None, every: bool = False
) -> list[Comparison]:
    """List the pairs of methods to compare.

    Args:
        methods: names, our own method first.
        truth: name of the original images, if methods are compared with them.
        every: compare every pair; otherwise each method with the truth, or without one the first
            method with each other one, as in the paper's Table 3.

    Raises:
        ValueError: if a name occurs twice or has control characters, or there is only one.
    """
    names = [*methods, *([truth] if truth else [])]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two folders are named {name}; use NAME=FOLDER")
        if not name or not name.isprintable():
            raise ValueError(f"{name!r} cannot be the name of a method")
    if len(names) < 2:
        raise ValueError("at least two folders are needed")
    if every:
        return list(combinations(names, 2))
    if truth:
        return [(method, truth) for method in methods]
    return [(methods[0], other) for other in methods[1:]]


def plan(
    images: Sequence[str], compared: Sequence[Comparison], rater: str, seed: int = 0
) -> list[Question]:
    """List every image in every comparison, in an order given by `rater` and `seed` alone.

    In each comparison both methods are on the left equally often (one of them once more, where the
    number of images is odd), so that a rater who prefers a side favors no method.
    """
    rng = random.Random(f"{seed} {rater}")
    questions = []
    for a, b in compared:
        turns = rng.sample((a, b), 2)
        sides = [turns[index % 2] for index in range(len(images))]
        rng.shuffle(sides)
        questions += [
            Question(image, a, b, left) for image, left in zip(images, sides, strict=True)
        ]
    rng.shuffle(questions)
    return questions


def clean_name(name: object) -> str:
    """Normalize the name of a rater: "  Anna B. " and "anna b." are the same person.

    Raises:
        ValueError: if it is not a name of 1 to 40 letters, digits, spaces and .'-
    """
    spelled = " ".join(unicodedata.normalize("NFKC", str(name)).split()).casefold()
    if not isinstance(name, str) or not _NAME.fullmatch(spelled):
        raise ValueError("A name has 1 to 40 letters, digits, spaces and . ' -")
    return spelled


class Study:
    """The state of a study: each rater works through a plan of their own.

    It stores nothing but the answers, so a rater can leave and come back at any time.

    Args:
        copies: files to show, with unique names, by the name of the image and by method.
        compared: pairs of methods.
        answers: previous ones, to which new ones are added.
        seed: of the plans.

    Example:
        >>> study = Study(copies, [("ours", "coltran")], AnswerFile(Path("answers.csv")))
        >>> question, number, total = study.next_question("anna")
    """

    def __init__(
        self,
        copies: Mapping[str, Mapping[str, Path]],
        compared: Sequence[Comparison],
        answers: AnswerFile,
        seed: int = 0,
    ):
        self.copies = copies
        self.compared = compared
        self.answers = answers
        self.seed = seed

    def questions(self, rater: str) -> list[Question]:
        """List all questions for a rater."""
        return plan(list(self.copies), self.compared, rater, self.seed)

    def next_question(self, rater: str) -> tuple[Question | None, int, int]:
        """Return the first question without an answer or None, its number, and how many there are.

        The number counts the answers, so it is also correct after images were added.
        """
        questions = self.questions(rater)
        unanswered = [
            question
            for question in questions
            if not self.answers.has(rater, question.image, question.a, question.b)
        ]
        number = len(questions) - len(unanswered) + 1
        return (unanswered[0] if unanswered else None), number, len(questions)

    def files(self, question: Question) -> tuple[Path, Path]:
        """Return the files to show on the left and on the right."""
        copies = self.copies[question.image]
        return copies[question.left], copies[question.right]

    def answer(
        self, rater: str, left: str, right: str, choice: str, shown: float, reaction: float
    ) -> None:
        """Save an answer; the second answer to a question is ignored.

        Args:
            rater: clean name.
            left: name of the file that was on the left.
            right: name of the file that was on the right.
            choice: "left" or "right".
            shown: seconds for which the pair was visible.
            reaction: seconds from its appearance to the choice.

        Raises:
            ValueError: if it answers no question of this study to this rater.
            OSError: if it could not be saved.
        """
        asked = [
            question
            for question in self.questions(rater)
            if [file.name for file in self.files(question)] == [left, right]
        ]
        if not asked:
            raise ValueError("The study was restarted: reload the page.")
        if choice not in ("left", "right"):
            raise ValueError(f"{choice!r} is neither left nor right")
        (question,) = asked
        self.answers.add(
            Answer(
                time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                rater=rater,
                image=question.image,
                a=question.a,
                b=question.b,
                left=question.left,
                preferred=getattr(question, choice),
                shown=_seconds(shown),
                reaction=_seconds(reaction),
            )
        )


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number of seconds")
    return round(min(max(value, 0), _LONGEST_REACTION), 3)
