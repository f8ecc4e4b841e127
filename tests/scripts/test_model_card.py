"""model_card.md as the Hub reads it, and the README beside it."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

ROOT = Path(__file__).parent.parent.parent
README_ROWS = {
    "automatic": "automatic",
    "self-reference": "distorted copy of the original as reference",
}


@pytest.fixture(scope="module")
def results():
    return ModelCard.load(ROOT / "model_card.md").data.eval_results


def test_it_says_what_the_model_is():
    data = ModelCard.load(ROOT / "model_card.md").data
    assert (data.license, data.library_name) == ("apache-2.0", "transformers")
    assert data.pipeline_tag == "image-to-image"


def test_every_mode_has_results(results):
    assert {result.task_name for result in results} == set(README_ROWS)


@pytest.mark.parametrize(
    ("page", "rows"), [("README.md", README_ROWS), ("model_card.md", dict.fromkeys(README_ROWS))]
)
def test_its_results_are_in_the_tables(results, page, rows):
    lines = (ROOT / page).read_text().splitlines()
    for result in results:
        start = f"| `medium`, {rows[result.task_name] or result.task_name} |"
        row = next(line for line in lines if line.startswith(start))  # of the first table
        cells = [cell.strip() for cell in row.removeprefix(start).split("|")]
        assert str(result.metric_value) in cells


def test_every_image_exists():
    for page in ("README.md", "model_card.md"):
        text = (ROOT / page).read_text()
        images = [part.split(")")[0] for part in text.split("](space/")[1:]]
        assert images
        assert all((ROOT / "space" / image).is_file() for image in images)
