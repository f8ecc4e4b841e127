"""How much memory is free, and what to say when it does not suffice."""

import math
import platform
import subprocess
import sys

import psutil
import pytest
import torch

from scsnet_hf import tiling
from scsnet_hf.tiling import explain_memory_errors, free_memory, is_out_of_memory

CPU = torch.device("cpu")


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Pretend a machine: text of /proc/meminfo, and of the files of its control group."""

    def pretend(meminfo: str | None = None, **group: str):
        if meminfo is not None:
            (tmp_path / "meminfo").write_text(meminfo)
        for name, text in group.items():
            (tmp_path / f"memory.{name}").write_text(text)
        monkeypatch.setattr(tiling, "_SYSTEM", tmp_path / "meminfo")
        monkeypatch.setattr(tiling, "_GROUP", tmp_path)

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


OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["python", "accelerator", "cpu"])
def test_lack_of_memory_is_told_with_what_to_do(error):
    assert is_out_of_memory(error)
    with (
        pytest.raises(MemoryError, match=r"^not enough memory for a cake: .*smaller result"),
        explain_memory_errors("for a cake"),
    ):
        raise error


def test_the_innermost_says_for_what():
    with (
        pytest.raises(MemoryError, match="for its icing"),
        explain_memory_errors("for a cake"),
        explain_memory_errors("for its icing"),
    ):
        raise MemoryError


def test_a_real_lack_is_recognized():
    with pytest.raises(MemoryError, match="a result"), explain_memory_errors("for a result"):
        torch.empty(2**50)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("memory")])
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as raised, explain_memory_errors("for a cake"):
        raise error
    assert raised.value is error


FREE_AND_ALLOCATE_AGAIN = """
import resource

import torch

from scsnet_hf.cli import keep_freed_memory

keep_freed_memory()
faults = []
for _ in range(2):
    blocks = [torch.ones(100_000) for _ in range(100)]
    blocks.clear()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[1] - faults[0])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of its allocator")
def test_what_was_freed_is_there_without_a_fault_a_page():
    command = [sys.executable, "-c", FREE_AND_ALLOCATE_AGAIN]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(finished.stdout) < 2000  # of 9,766 pages
