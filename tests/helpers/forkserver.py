"""Processes that have imported everything already, for tests that kill them."""

import functools
import multiprocessing
import os
from pathlib import Path

import scsnet_hf


@functools.cache
def forkserver(module: str) -> multiprocessing.context.ForkServerContext:
    """A server whose processes have imported a module of the tests. One for each test process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    # The server takes no sys.path from here, and passes over what it cannot import.
    folders = [str(Path(__file__).parent.parent), str(Path(scsnet_hf.__file__).parent.parent)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")])
    return context
