"""How much memory is free."""

import math

import psutil
import pytest
import torch

from scsnet_hf import free_memory as module
from scsnet_hf.free_memory import free_memory

CPU = torch.device("cpu")


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Pretend a machine: text of /proc/meminfo, and of the files of its control group."""

    def pretend(meminfo: str | None = None, **group: str):
        if meminfo is not None:
            (tmp_path / "meminfo").write_text(meminfo)
        for name, text in group.items():
            (tmp_path / f"memory.{name}").write_text(text)
        monkeypatch.setattr(module, "_SYSTEM", tmp_path / "meminfo")
        monkeypatch.setattr(module, "_GROUP", tmp_path)

    return pretend


MEMINFO = "MemTotal:       2000 kB\nMemFree:         100 kB\nMemAvailable:   1000 kB\n"


@pytest.mark.skipif(not psutil.LINUX, reason="other systems do not tell")
def test_at_most_what_the_machine_has():
    assert 0 < free_memory(CPU) <= psutil.virtual_memory().total


def test_what_others_only_cache_is_free(system):
    system(MEMINFO)
    assert free_memory(CPU) == 1000 * 1024


def test_a_container_s_limit_counts(system):
    system(MEMINFO, max="900000\n", current="500000\n", stat="anon 7\ninactive_file 100000\n")
    assert free_memory(CPU) == 900_000 - 500_000 + 100_000


def test_a_container_without_a_limit(system):
    system(MEMINFO, max="max\n", current="500000\n", stat="inactive_file 0\n")
    assert free_memory(CPU) == 1000 * 1024


def test_a_system_that_does_not_tell(system):
    system()
    assert free_memory(CPU) == math.inf


def test_a_device_that_does_not_tell():
    assert free_memory(torch.device("meta")) == math.inf
