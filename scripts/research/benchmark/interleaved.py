"""Costs of several things, measured in turn so that a slow moment of the machine affects all."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from tqdm import tqdm

from .process import PASSIVE_THREADS, run_in_fresh_process
from .profiling import Seconds, Workload, clock, matrix_rate, multiply_adds, peak_memory

# Freed blocks of this many bytes go back to the system at once. glibc would keep ever larger ones,
# and the peak of the same network would differ by hundreds of MiB from run to run.
_EXACT_MEMORY = {**PASSIVE_THREADS, "MALLOC_MMAP_THRESHOLD_": "65536"}

Measurements = dict[str, list[float]]  # name -> a value for each run, or the only one
Plan = Mapping[str, Callable[[], Workload]]  # name of a part -> how to build it


def measure_rows(
    plan_row: Callable[..., Plan], rows: Sequence[str], runs: int, **settings: object
) -> dict[str, Measurements]:
    """Measure the time of rows in one fresh process, and the memory of each in one of its own.

    Args:
        plan_row: returns the parts that a row runs one after the other; rows may share parts. It
            is called as `plan_row(row, **settings)` in those processes.
        rows: names.
        runs: of every part, after one to warm up.
        **settings: of `plan_row`.

    Returns:
        `parameters` and `gmacs`, sums over the parts of each row; `cpu` and `wall`, seconds of
        every run; `memory`, MiB above the idle process, weights included, where the system reports
        it; and `matrix_rate` of the machine, GFLOP/s in every run, under the name `float32`.

    Raises:
        Exception: as `plan_row` does, and if a network does not load or run.
    """
    values = run_in_fresh_process(time_rows, plan_row, rows, runs, settings)
    memory = {
        row: run_in_fresh_process(memory_of_row, plan_row, row, settings, environment=_EXACT_MEMORY)
        for row in tqdm(rows, unit="process")
    }
    values["memory"] = {row: [peak] for row, peak in memory.items() if peak is not None}
    return values


def time_rows(
    plan_row: Callable[..., Plan], rows: Sequence[str], runs: int, settings: dict
) -> dict[str, Measurements]:
    """Measure what `measure_rows` returns except `memory`, in this process."""
    plans = {row: plan_row(row, **settings) for row in rows}
    builders = {name: build for plan in plans.values() for name, build in plan.items()}
    parts = {name: build() for name, build in builders.items()}
    gmacs = {name: [multiply_adds(part.run)] for name, part in parts.items()}
    times: dict[str, list[Seconds]] = {name: [] for name in parts}
    rates: list[float] = []
    with tqdm(total=runs * len(parts), unit="run") as progress:
        for _ in range(runs):
            rates.append(matrix_rate())
            for name, part in parts.items():
                times[name].append(clock(part.run))
                progress.update()
    by_part: dict[str, Measurements] = {
        "parameters": {name: [part.parameters] for name, part in parts.items()},
        "gmacs": gmacs,
        "cpu": {name: [seconds.cpu for seconds in each] for name, each in times.items()},
        "wall": {name: [seconds.wall for seconds in each] for name, each in times.items()},
    }
    by_row: dict[str, Measurements] = {
        quantity: {row: sum_runs(values, plan) for row, plan in plans.items()}
        for quantity, values in by_part.items()
    }
    return {**by_row, "matrix_rate": {"float32": rates}}


def memory_of_row(plan_row: Callable[..., Plan], row: str, settings: dict) -> float | None:
    """Measure the MiB that a row needs with all its parts built first, in this process."""
    plan = plan_row(row, **settings)

    def run() -> None:
        for part in [build() for build in plan.values()]:
            part.run()

    return peak_memory(run)


def sum_runs(values: Measurements, names: Iterable[str]) -> list[float]:
    """Sum the values of several names, run by run."""
    return [sum(run) for run in zip(*(values[name] for name in names), strict=True)]


def interleave(
    groups: Mapping[str, Sequence[Callable[[], dict[str, float]]]], runs: int
) -> dict[str, Measurements]:
    """Call all functions of all groups in turn, `runs` times, and collect what they return."""
    values = {group: defaultdict(list) for group in groups}
    calls = [(group, function) for group, functions in groups.items() for function in functions]
    for group, function in tqdm(calls * runs, unit="measurement"):
        for name, value in function().items():
            values[group][name].append(value)
    return values
