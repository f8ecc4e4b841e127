"""Things side by side: each is measured once in every round, so that slow moments hit all alike."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from tqdm import tqdm

from .meters import (
    Subject,
    Time,
    clock,
    matrix_rate,
    multiply_adds,
    peak_memory,
)
from .process import find_function, in_fresh_process, name_of

# Freed blocks of this many bytes go back to the system at once. glibc would keep ever larger ones,
# and then the peak of the same network differs by hundreds of MiB from run to run.
_EXACT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536"}

Repeats = dict[str, list[float]]  # row -> its value in each round, or the only one
Measure = Callable[[], dict[str, float]]
Stages = Mapping[str, Callable[[], Subject]]  # name -> how to build it
StagesOf = Callable[..., Stages]  # of the name of a row and the setting


def measure(
    stages_of: StagesOf, rows: Sequence[str], repeats: int, **setting
) -> dict[str, Repeats]:
    """What rows cost, all in one fresh process but for the memory, in one of its own each.

    Args:
        stages_of: names the stages that a row runs one after the other. Rows may share stages. It
            is called as `stages_of(row, **setting)`, in those processes.
        rows: their names.
        repeats: rounds. Before the first, every stage has run once.
        **setting: passed on; has to survive JSON.

    Returns:
        By row `parameters` and `gmacs`, sums over the stages; `processor` and `wall`, for every
        round the sum of the seconds of the stages; `memory`, MiB above the idle process, weights
        included, where the system tells it. And of the machine `matrix_rate`, GFLOP/s in every
        round, under `float32`.

    Raises:
        ValueError: as `stages_of` does, and if a network does not load or run.
    """
    given = {"stages_of": name_of(stages_of), "setting": setting}
    values = in_fresh_process(time_rows, rows=list(rows), repeats=repeats, **given)
    memory = {
        row: in_fresh_process(memory_of_row, _EXACT_MEMORY, row=row, **given)
        for row in tqdm(rows, unit="process")
    }
    values["memory"] = {row: [peak] for row, peak in memory.items() if peak is not None}
    return values


def time_rows(
    stages_of: str, rows: Sequence[str], repeats: int, setting: dict
) -> dict[str, Repeats]:
    """What `measure` returns without `memory`, in this process."""
    plans = {row: find_function(stages_of)(row, **setting) for row in rows}
    builders = {name: build for stages in plans.values() for name, build in stages.items()}
    subjects = {name: build() for name, build in builders.items()}
    gmacs = {name: [multiply_adds(subject.run)] for name, subject in subjects.items()}
    times: dict[str, list[Time]] = {name: [] for name in subjects}
    rates: list[float] = []
    with tqdm(total=repeats * len(subjects), unit="run") as progress:
        for _ in range(repeats):
            rates.append(matrix_rate())
            for name, subject in subjects.items():
                times[name].append(clock(subject.run))
                progress.update()
    by_stage: dict[str, Repeats] = {
        "parameters": {name: [subject.parameters] for name, subject in subjects.items()},
        "gmacs": gmacs,
        "processor": {name: [time.processor for time in of] for name, of in times.items()},
        "wall": {name: [time.wall for time in of] for name, of in times.items()},
    }
    by_row: dict[str, Repeats] = {
        quantity: {row: add_up(values, stages) for row, stages in plans.items()}
        for quantity, values in by_stage.items()
    }
    return {**by_row, "matrix_rate": {"float32": rates}}


def memory_of_row(stages_of: str, row: str, setting: dict) -> float | None:
    """MiB that the stages of a row need, all built first, in this process."""
    stages = find_function(stages_of)(row, **setting)

    def run() -> None:
        for subject in [build() for build in stages.values()]:
            subject.run()

    return peak_memory(run)


def add_up(values: Repeats, stages: Iterable[str]) -> list[float]:
    """The sum over stages, in each round."""
    return [sum(of_round) for of_round in zip(*(values[name] for name in stages), strict=True)]


def in_turn(groups: dict[str, list[Measure]], repeats: int) -> dict[str, Repeats]:
    """The values of all measures of all groups, each measured once in every repeat."""
    values = {group: defaultdict(list) for group in groups}
    turns = [(group, measure) for group, measures in groups.items() for measure in measures]
    for group, measure in tqdm(turns * repeats, unit="measurement"):
        for name, value in measure().items():
            values[group][name].append(value)
    return values
