"""Functions in fresh processes, where earlier work has left neither threads nor memory."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

# Threads of OpenMP spin by default while they wait for each other. That counts as CPU time, and on
# a busy machine it ranks networks by how often their threads wait. OpenMP reads this variable when
# torch loads it, so it has to be set before the process starts.
PASSIVE_THREADS = {"OMP_WAIT_POLICY": "passive"}


def run_in_fresh_process(
    function: Callable[..., Any],
    *args: object,
    environment: Mapping[str, str] = PASSIVE_THREADS,
    **kwargs: object,
) -> Any:
    """Call a function in a new process and return its result.

    Args:
        function: importable by its module and name.
        *args: its arguments, which have to be picklable, as its result has.
        environment: variables to set for the process.
        **kwargs: its keyword arguments.

    Raises:
        Exception: as the function does.
        BrokenProcessPool: if the process dies.
    """
    context = multiprocessing.get_context("spawn")
    with _variables(environment), ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result()


@contextmanager
def _variables(environment: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which processes inherit, and take them back at the end."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
