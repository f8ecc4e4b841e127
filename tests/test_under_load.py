"""Many calls at once, many calls in a row, and a system that refuses or stops in the middle."""

import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from PIL import Image

from helpers.images import make_image
from scsnet_hf.cli import main
from scsnet_hf.io.image_file import ImageFile

pytestmark = pytest.mark.slow

THREADS, CALLS = 16, 50


def test_many_threads_equal_one_after_the_other(tiny_pipe):
    image = make_image(20, 14, "L")
    references = [make_image(16, 12, seed=seed) for seed in range(THREADS * CALLS)]

    def colorize(reference):
        return np.asarray(tiny_pipe(image, reference=reference, scale=1.5))

    expected = [colorize(reference) for reference in references]
    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(colorize, references))
    assert all(map(np.array_equal, results, expected))
    assert len({result.tobytes() for result in results}) > len(references) / 2


def test_memory_stays_where_it_is(tiny_pipe):
    images = [make_image(60 + 9 * n, 90 - 7 * n, seed=n) for n in range(5)]
    process = psutil.Process()

    def call(times: int) -> int:
        for n in range(times):
            reference = images[n % 3] if n % 2 else None
            tiny_pipe(images[n % 5], reference=reference, scale=2)
        return process.memory_info().rss

    after_some, after_many = call(60), call(200)
    # One result kept a call, in float32, would be 200 times 250 kB.
    assert after_many - after_some < 10 * 2**20


def command(checkpoint, *arguments) -> list[str]:
    program = [sys.executable, "-m", "scsnet_hf", "colorize", "--model", checkpoint]
    return [str(word) for word in (*program, "--device", "cpu", *arguments)]


def assert_whole(folder) -> set[str]:
    """Names of the files of a folder, all of them images that can be read to the end."""
    for file in folder.iterdir():
        with Image.open(file) as image:
            image.load()
    return {file.name for file in folder.iterdir()}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_half_files(checkpoint, tmp_path, number, code):
    (tmp_path / "in").mkdir()
    for index in range(300):
        make_image(40, 40).save(tmp_path / "in" / f"{index}.png")
    out = tmp_path / "out"

    def take_signals() -> None:  # programs that a shell starts in the background ignore SIGINT
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    words = command(checkpoint, tmp_path / "in", "-o", out)
    with subprocess.Popen(words, preexec_fn=take_signals) as process:
        while process.poll() is None and len(list(out.glob("[!.]*.png"))) < 3:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(60) == code
    assert 3 <= len(assert_whole(out)) < 300


def test_a_full_disk_fails_what_does_not_fit(checkpoint, tmp_path):
    (tmp_path / "in").mkdir()
    for name, side in (("a", 8), ("b", 200), ("c", 8)):
        make_image(side, side).save(tmp_path / "in" / f"{name}.png")

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        command(checkpoint, tmp_path / "in", "-o", tmp_path / "out"),
        capture_output=True,
        text=True,
        preexec_fn=limit_files,
    )
    assert done.returncode == 1
    assert f"{tmp_path / 'in' / 'b.png'}: " in done.stderr
    assert assert_whole(tmp_path / "out") == {"a.png", "c.png"}


def test_a_place_that_cannot_be_written_fails_alone(checkpoint, tmp_path, capsys):
    for name in ("good", "bad"):
        (tmp_path / "in" / name).mkdir(parents=True)
        make_image(8, 8).save(tmp_path / "in" / name / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bad").write_text("a file where a folder should be")
    assert main(command(checkpoint, tmp_path / "in", "-o", tmp_path / "out")[3:]) == 1
    assert "bad/a.png" in capsys.readouterr().err
    assert assert_whole(tmp_path / "out" / "good") == {"a.png"}


def test_an_input_that_vanishes_fails_alone(checkpoint, tmp_path, capsys, monkeypatch):
    inputs = [tmp_path / f"{name}.png" for name in "abc"]
    for file in inputs:
        make_image(8, 8).save(file)
    open_file = ImageFile.__init__

    def delete_and_open(self, *arguments):
        inputs[1].unlink(missing_ok=True)
        open_file(self, *arguments)

    monkeypatch.setattr(ImageFile, "__init__", delete_and_open)
    assert main(command(checkpoint, *inputs, "-o", tmp_path / "out")[3:]) == 1
    assert f"{inputs[1]}: no such file" in capsys.readouterr().err
    assert assert_whole(tmp_path / "out") == {"a.png", "c.png"}
