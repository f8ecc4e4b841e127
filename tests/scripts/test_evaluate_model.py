"""scripts/evaluate_model.py from its command line."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from helpers.images import make_image
from research.evaluation.run_folder import RunFolder

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "evaluate_model.py"
METHODS = {
    "gray bicubic",
    "sepia",
    "true colors, bicubic",
    "automatic",
    "self-reference",
    "unrelated reference",
}


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for index in range(10):
        make_image(64, 48, seed=index).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def script(monkeypatch, capsys, tiny_checkpoint):
    def run(*arguments) -> str:
        """What it prints."""
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def evaluate(script, album, tiny_checkpoint):
    def run(*arguments) -> str:
        return script("--data", album, "--model", tiny_checkpoint, "--device", "cpu", *arguments)

    return run


def record_in(folder: Path) -> dict:
    text = (folder / "results.json").read_text()
    return json.loads(text, parse_constant=pytest.fail)  # no infinity, no NaN


def test_it_measures_all(evaluate, tmp_path):
    output = tmp_path / "run"
    printed = evaluate("--limit", 2, "--stability", "--output", output)
    assert (output / "tables.md").read_text() in printed
    record = record_in(output)
    assert record["images"] == 2
    assert set(record["results"]) == METHODS | {"truth", "recolored reference"}
    assert record["counts"] == dict.fromkeys(METHODS, 2)
    assert "shift_source" in record["results"]["automatic"]
    numbers = {name for row in record["results"].values() for name in row}
    assert numbers <= record["definitions"].keys()
    assert {"torch", "scsnet_hf", "pillow"} <= record["versions"].keys()
    assert len(record["settings"]["model_sha256"]) == len(record["images_sha256"]) == 64


def test_interrupted_and_resumed_it_gives_the_same_file(evaluate, tmp_path, monkeypatch):
    evaluate("--limit", 3, "--output", tmp_path / "whole")
    write = RunFolder.write

    def interrupted(self, index, *arguments):
        if index == 1:
            raise KeyboardInterrupt
        write(self, index, *arguments)

    monkeypatch.setattr(RunFolder, "write", interrupted)
    parts = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        evaluate("--limit", 3, "--output", parts)
    assert not (parts / "results.json").exists()
    monkeypatch.setattr(RunFolder, "write", write)
    evaluate("--limit", 3, "--output", parts)
    assert record_in(parts) == record_in(tmp_path / "whole")


def test_the_papers_protocol_cuts_squares_and_divides_the_images(
    evaluate, script, tmp_path, constant_features
):
    output = tmp_path / "run"
    evaluate(
        *("--protocol", "paper", "--square", 32, "--limit", 10, "--fid", constant_features),
        *("--output", output, "--keep-images"),
    )
    record = record_in(output)
    counts = {"automatic": 5, "self-reference": 1, "unrelated reference": 4, "referential": 5}
    assert counts.items() <= record["counts"].items()
    assert record["settings"]["shuffle"]
    assert {one.stem for one in output.glob("images/truth/*")} == {f"{i:05}" for i in range(10)}
    assert Image.open(output / "images" / "automatic" / "00000.png").size == (32, 32)
    tables = script("--tables", output, output)
    assert tables.count("| referential |") == 2  # Table 1 and Table 2
    assert "average FID" in tables


def test_fewer_images_than_the_papers_protocol_has_are_refused(evaluate, constant_features):
    with pytest.raises(SystemExit, match=r"takes 5000 images, .* has 10: give --limit"):
        evaluate("--protocol", "paper", "--square", 32, "--fid", constant_features)


def test_another_programs_results_have_a_referential_row(evaluate, tmp_path, constant_features):
    paper = ("--protocol", "paper", "--square", 32, "--limit", 10)
    work, made = tmp_path / "work", tmp_path / "made"
    evaluate(*paper, "--output", work, "--inputs-only")
    references = list((work / "references" / "protocol").iterdir())
    assert len(references) == 5
    made.mkdir()
    for path in references:
        Image.open(path).save(made / path.name)
    (made / "method.json").write_text('{"parameters": 33000000, "seconds": 0.25}')
    output = tmp_path / "run"
    printed = evaluate(
        *paper,
        *("--fid", constant_features, "--images", "theirs", "referential", made),
        *("--output", output),
    )
    assert record_in(output)["counts"]["theirs"] == 5
    assert "| theirs | 33.000 | 4.00 |" in printed
    rows = printed[printed.index("| parameters (M) |") :].splitlines()[2:]
    names = {row.split("|")[1].strip() for row in rows}
    modes = ("automatic", "referential", "self-reference", "unrelated reference")
    assert {f"{mode}{kind}" for mode in modes for kind in ("", ", network alone")} <= names
    assert "gray bicubic" in names


@pytest.fixture
def constant_features(monkeypatch):
    """A network whose features are the mean color."""
    from scsnet_hf.metrics import FeatureNetwork

    network = FeatureNetwork("mean", lambda levels: levels.float().mean(dim=(2, 3)))
    monkeypatch.setattr(FeatureNetwork, "load", lambda *_, **__: network)
    return "mean"


def test_images_of_another_program_make_a_row(evaluate, tmp_path):
    work = tmp_path / "work"
    evaluate("--limit", 2, "--output", work, "--inputs-only")
    assert len(list((work / "references" / "own").iterdir())) == 2
    made = tmp_path / "made"
    made.mkdir()
    for path in (work / "inputs").iterdir():
        Image.open(path).save(made / path.name)
    printed = evaluate("--limit", 2, "--images", "theirs", "automatic", made)
    rows = {line.split("|")[1].strip(): line.split("|")[2] for line in printed.splitlines()[2:10]}
    assert rows["theirs"] == rows["gray bicubic"]


def test_two_folders_are_compared(script, album):
    printed = script("--compare", album, album)
    assert f"| {album} | inf |" in printed


def test_an_error_is_one_line(script, tmp_path):
    with pytest.raises(SystemExit, match=r"^evaluate_model\.py: .*there are no images"):
        script("--compare", tmp_path, tmp_path)


def test_it_runs_from_any_folder(tmp_path):
    command = [sys.executable, str(SCRIPT), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert "--flicker" in done.stdout
