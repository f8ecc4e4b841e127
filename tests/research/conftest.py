"""All tests of the research tools are slow."""

from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def in_this_process(monkeypatch):
    """Run in this process what benchmarks run in fresh ones, which take seconds to start."""

    def run(function, *args, environment=None, **kwargs):
        return function(*args, **kwargs)

    for module in ("interleaved", "folder", "call_profile"):
        monkeypatch.setattr(f"research.benchmark.{module}.run_in_fresh_process", run)
