"""Processes that start with everything imported, for tests that kill them."""

import functools
import multiprocessing
import os
from pathlib import Path

import scsnet_hf


@functools.cache
def forkserver(module: str) -> multiprocessing.context.ForkServerContext:
    """A server whose processes have imported a module of the tests; one per test process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    # The server does not inherit sys.path, and ignores modules that it cannot import.
    folders = [str(Path(__file__).parent.parent), str(Path(scsnet_hf.__file__).parent.parent)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")])
    return context
