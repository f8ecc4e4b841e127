"""What raters prefer, with confidence intervals, and how they answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from ..markdown_tables import markdown_table
from .answers import Answer


@dataclass(frozen=True)
class Preference:
    """How often one of two methods was preferred.

    Args:
        a: a method.
        b: the other method.
        share: of the answers that prefer `a`, from 0 to 1.
        low: lower end of the 95 % confidence interval of that share.
        high: its upper end.
        answers: number of answers.
        raters: number of people who gave them.
    """

    a: str
    b: str
    share: float
    low: float
    high: float
    answers: int
    raters: int


@dataclass(frozen=True)
class Habit:
    """How a rater answers, which reveals one who always presses the same key.

    Args:
        rater: name.
        answers: number of answers.
        left_share: of the answers that chose the left image, from 0 to 1. Every method is on the
            left in half of the questions, so it is near 0.5 whatever the rater prefers.
        reaction: median of the seconds from the appearance of a pair to the choice.
    """

    rater: str
    answers: int
    left_share: float
    reaction: float


def preferences(answers: Iterable[Answer]) -> list[Preference]:
    """Compute the preference in each pair of methods, sorted by name.

    Intervals are score intervals of Wilson (1927), which stay inside 0 to 1. Answers count as
    independent; where few raters answer for many images they are not, and the true interval is
    wider.
    """
    pairs: dict[frozenset[str], list[Answer]] = {}
    for answer in answers:
        pairs.setdefault(frozenset((answer.a, answer.b)), []).append(answer)
    return sorted(map(_preference, pairs.values()), key=lambda pair: (pair.a, pair.b))


def _preference(answers: Sequence[Answer]) -> Preference:
    from scipy.stats import binomtest

    a, b = answers[0].a, answers[0].b
    for_a = sum(answer.preferred == a for answer in answers)
    low, high = binomtest(for_a, len(answers)).proportion_ci(method="wilson")
    raters = len({answer.rater for answer in answers})
    return Preference(a, b, for_a / len(answers), low, high, len(answers), raters)


def rater_habits(answers: Iterable[Answer]) -> list[Habit]:
    """Compute how each rater answers, sorted by name."""
    raters: dict[str, list[Answer]] = {}
    for answer in answers:
        raters.setdefault(answer.rater, []).append(answer)
    return [_habit(rater, given) for rater, given in sorted(raters.items())]


def _habit(rater: str, answers: Sequence[Answer]) -> Habit:
    left = sum(answer.preferred == answer.left for answer in answers)
    reaction = median(answer.reaction for answer in answers)
    return Habit(rater, len(answers), left / len(answers), reaction)


def study_tables(pairs: Sequence[Preference], habits: Sequence[Habit]) -> str:
    """Format preferences like the paper's Table 3, and the habits of raters."""
    preferred = [
        [
            f"{pair.a} vs. {pair.b}",
            f"{100 * pair.share:.1f} vs. {100 * (1 - pair.share):.1f}",
            f"{100 * pair.low:.1f} to {100 * pair.high:.1f}",
            f"{pair.answers}",
            f"{pair.raters}",
        ]
        for pair in pairs
    ]
    raters = [
        [
            habit.rater,
            f"{habit.answers}",
            f"{100 * habit.left_share:.1f}",
            f"{habit.reaction:.2f}",
        ]
        for habit in habits
    ]
    header = ["", "preferred (%)", "95 % interval of the first", "answers", "raters"]
    rater_header = ["rater", "answers", "chose left (%)", "median reaction (s)"]
    return f"{markdown_table(header, preferred)}\n\n{markdown_table(rater_header, raters)}"
