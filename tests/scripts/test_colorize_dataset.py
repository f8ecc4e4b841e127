"""scripts/colorize_dataset.py on its own Ray: a job whose workers and driver are killed.

    SCSNET_BULK_ROWS=2000 pytest -m slow tests/scripts/test_colorize_dataset.py

does the same with more rows. What is killed, and when, is random.
"""

import os
import random
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pyarrow import parquet

from helpers.images import make_image
from helpers.in_process_pool import InProcessPool
from scsnet_hf.bulk import ColorizerSettings, Job, ParquetOutput, Source, run_job

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "colorize_dataset.py"
ROWS = int(os.environ.get("SCSNET_BULK_ROWS", "60"))
ROWS_PER_PART = 4
PARTS = -(-ROWS // ROWS_PER_PART)
BAD = ("sub/bad.png", "worse.png")


@pytest.fixture(scope="module")
def album(tmp_path_factory) -> Path:
    """Images of many sizes, two of which cannot be read."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "sub").mkdir()
    for index in range(ROWS - len(BAD)):
        image = make_image(24 + index % 9, 20 + index % 7, seed=index)
        image.save(folder / ("sub" if index % 3 else "") / f"{index:05}.png")
    for name in BAD:
        (folder / name).write_bytes(b"no image")
    return folder


def command(album, output, checkpoint) -> list[str]:
    options = f"--scale 2 --workers 2 --rows-per-part {ROWS_PER_PART}".split()
    files = [album, "--output", output, "--model", checkpoint]
    return [sys.executable, str(SCRIPT), *map(str, files), *options]


class RunningJob:
    """The script in a process of its own, the driver of its Ray."""

    def __init__(self, command: list[str], output: Path):
        self.output = output
        self.driver = subprocess.Popen(command, start_new_session=True)

    def finished_parts(self) -> int:
        return len(list(self.output.glob("parts/*.json")))

    def wait_for_parts(self, count: int) -> None:
        """Wait until so many parts are finished, and then for a moment of the next ones."""
        while self.finished_parts() < count:
            assert self.driver.poll() is None, "the job ended before it was killed"
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.1))

    def kill_a_worker(self) -> None:
        workers = [
            process
            for process in psutil.Process(self.driver.pid).children(recursive=True)
            if "MapWorker" in process.name()
        ]
        random.choice(workers).kill()

    def kill_the_driver(self) -> None:
        self.driver.kill()
        assert self.driver.wait() == -signal.SIGKILL


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
class TestKilledJob:
    @pytest.fixture(scope="class")
    @classmethod
    def undisturbed(cls, album, checkpoint, tmp_path_factory) -> Path:
        """The folder of the same job without Ray."""
        output = ParquetOutput(tmp_path_factory.mktemp("undisturbed"))
        settings = ColorizerSettings(str(checkpoint), {"scale": 2.0})
        run_job(Job(Source((str(album),)), settings, output, ROWS_PER_PART), InProcessPool())
        return output.folder

    @pytest.fixture(scope="class")
    @classmethod
    def killed(cls, album, checkpoint, tmp_path_factory) -> Path:
        """The folder of a job of two workers, a worker and then the driver of which was killed."""
        output = tmp_path_factory.mktemp("killed")
        start = command(album, output, checkpoint)
        job = RunningJob(start, output)
        job.wait_for_parts(random.randint(1, PARTS // 3))
        job.kill_a_worker()
        job.wait_for_parts(random.randint(PARTS // 3, 2 * PARTS // 3))
        job.kill_the_driver()
        assert job.finished_parts() < PARTS
        assert subprocess.run(start).returncode == 1
        return output

    def test_every_row_is_in_one_place(self, album, killed):
        done = parquet.read_table(killed / "images")["key"].to_pylist()
        failed = parquet.read_table(killed / "errors.parquet")["key"].to_pylist()
        given = [path.relative_to(album).as_posix() for path in album.rglob("*.png")]
        assert sorted(done + failed) == sorted(given)
        assert set(failed) == set(BAD)

    def test_all_files_are_those_of_an_undisturbed_job(self, undisturbed, killed):
        assert contents(killed) == contents(undisturbed)


class TestScript:
    def run(self, monkeypatch, *arguments) -> int:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return end.value.code

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("--scale 99", "scale=99"),
            ("--size 10", "not WIDTHxHEIGHT"),
            ("--scale 2 --long-side 99", "not allowed with"),
            ("--workers 0", "workers=0"),
            ("--rows-per-part 0", "rows_per_part=0"),
            ("--model nothing", "model nothing: cannot be loaded"),
            ("--reference nothing.jpg", "nothing.jpg"),
            ("--split test", "on the Hub"),
        ],
    )
    def test_wrong_arguments_are_one_line(
        self, options, message, album, tmp_path, monkeypatch, capsys
    ):
        output = tmp_path / "out"
        assert self.run(monkeypatch, album, "-o", output, *options.split()) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
        assert not output.exists()
