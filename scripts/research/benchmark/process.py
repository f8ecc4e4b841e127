"""Functions in fresh processes, where nothing before them has left threads or memory."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module

# While they wait for each other, threads of OpenMP spin by default. That counts as processor time,
# and where other work holds a core it ranks networks by how often their threads wait. OpenMP reads
# this when torch loads it, so it has to be there before the process starts.
_ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}
_SERVE = f"from {__name__} import serve; serve()"


def name_of(function: Callable) -> str:
    """MODULE:NAME of a function of a module, for `find_function`."""
    return f"{function.__module__}:{function.__name__}"


def find_function(name: str) -> Callable:
    """The function of a `name_of`."""
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def in_fresh_process(
    function: Callable, environment: Mapping[str, str | None] | None = None, **arguments
) -> object:
    """What a function of a module returns in a new process, whose threads wait without spinning.

    What it writes to stderr is seen.

    Args:
        function: that can be imported by its name.
        environment: variables to set for it; None to leave one out.
        **arguments: its own; they have to survive JSON, as its result has.

    Raises:
        ValueError: if the function raises ValueError or OSError, with its message.
        RuntimeError: if the process ends in any other way.
    """
    variables = {**os.environ, **_ENVIRONMENT, **(environment or {})}
    done = subprocess.run(
        [sys.executable, "-c", _SERVE, name_of(function), json.dumps(arguments)],
        env={name: value for name, value in variables.items() if value is not None},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{function.__name__}: exit code {done.returncode}")
    reply = json.loads(done.stdout.splitlines()[-1])
    if "error" in reply:
        raise ValueError(reply["error"])
    return reply["result"]


def serve() -> None:
    """Be that process: its arguments are those of `in_fresh_process`, the reply its last line."""
    function, arguments = sys.argv[1:]
    try:
        reply = {"result": find_function(function)(**json.loads(arguments))}
    except (ValueError, OSError) as error:
        reply = {"error": str(error)}
    sys.stdout.write(f"\n{json.dumps(reply)}\n")
