"""What raters prefer, with intervals of confidence, and how they answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from .answers import Answer

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Preference:
    """How often one of two methods was preferred.

    Args:
        a: a method.
        b: the other method.
        share: of the answers that prefer `a`, from 0 to 1.
        low: lower end of the 95 % interval of that share.
        high: its upper end.
        answers: how many.
        raters: how many people gave them.
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
    """How a rater answers: one who always presses the same key shows here.

    Args:
        rater: name.
        answers: how many.
        left_share: of the answers that chose the left image, from 0 to 1. Every method stood on
            the left in half of the questions, so it is near 0.5 whatever the rater likes.
        reaction: median of the seconds from the appearance of a pair to the choice.
    """

    rater: str
    answers: int
    left_share: float
    reaction: float


def wilson_interval(
    successes: int, trials: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of confidence of a share, the score interval of Wilson.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal of
    the American Statistical Association 22 (1927) 209-212. Unlike the textbook interval it stays
    inside 0 to 1 and has a width where all agree.

    Raises:
        ValueError: if `successes` is not within 0 to `trials`, or there are no trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is not a share")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    center = share + z**2 / (2 * trials)
    half = z * (share * (1 - share) / trials + z**2 / (4 * trials**2)) ** 0.5
    whole = 1 + z**2 / trials
    # Rounding would leave a bound that is exactly 0 or 1 a little beside it.
    low = 0.0 if successes == 0 else (center - half) / whole
    high = 1.0 if successes == trials else (center + half) / whole
    return low, high


def preferences(answers: Iterable[Answer]) -> list[Preference]:
    """The preference in each pair of methods, by name.

    Answers count as independent. Those of few raters to many images are less than that, and the
    true interval is then wider.
    """
    pairs: dict[frozenset[str], list[Answer]] = {}
    for answer in answers:
        pairs.setdefault(frozenset((answer.a, answer.b)), []).append(answer)
    return sorted(map(_preference, pairs.values()), key=lambda pair: (pair.a, pair.b))


def _preference(answers: Sequence[Answer]) -> Preference:
    a, b = answers[0].a, answers[0].b
    for_a = sum(answer.preferred == a for answer in answers)
    low, high = wilson_interval(for_a, len(answers))
    raters = len({answer.rater for answer in answers})
    return Preference(a, b, for_a / len(answers), low, high, len(answers), raters)


def rater_habits(answers: Iterable[Answer]) -> list[Habit]:
    """How each rater answers, by name."""
    raters: dict[str, list[Answer]] = {}
    for answer in answers:
        raters.setdefault(answer.rater, []).append(answer)
    return [_habit(rater, given) for rater, given in sorted(raters.items())]


def _habit(rater: str, answers: Sequence[Answer]) -> Habit:
    left = sum(answer.preferred == answer.left for answer in answers)
    reaction = median(answer.reaction for answer in answers)
    return Habit(rater, len(answers), left / len(answers), reaction)


def markdown_tables(pairs: Sequence[Preference], habits: Sequence[Habit]) -> str:
    """Preferences like the paper's Table 3, and the raters."""
    return "\n".join(
        [
            "| | preferred (%) | 95 % interval of the first | answers | raters |",
            "|---|---:|---:|---:|---:|",
            *map(_preference_row, pairs),
            "",
            "| rater | answers | chose left (%) | median reaction (s) |",
            "|---|---:|---:|---:|",
            *map(_habit_row, habits),
        ]
    )


def _preference_row(pair: Preference) -> str:
    names = f"{pair.a} vs. {pair.b}".replace("|", r"\|")
    shares = f"{100 * pair.share:.1f} vs. {100 * (1 - pair.share):.1f}"
    interval = f"{100 * pair.low:.1f} to {100 * pair.high:.1f}"
    return f"| {names} | {shares} | {interval} | {pair.answers} | {pair.raters} |"


def _habit_row(habit: Habit) -> str:
    left = f"{100 * habit.left_share:.1f}"
    return f"| {habit.rater} | {habit.answers} | {left} | {habit.reaction:.2f} |"
