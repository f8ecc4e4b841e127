"""model_card.md as the Hub reads it, and the README beside it."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

ROOT = Path(__file__).parent.parent.parent
ROWS_OF_THE_README = {
    "medium, automatic": "automatic",
    "medium, self-reference": "distorted copy of the original as reference",
}


@pytest.fixture(scope="module")
def card():
    return ModelCard.load(ROOT / "model_card.md")


@pytest.fixture(scope="module")
def results(card):
    return card.data.eval_results


def rows(page: str) -> list[dict[str, str]]:
    """The rows of all tables of a page, their cells by the heads of the columns."""
    found, columns = [], None
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            columns = None
            continue
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        columns = columns or cells
        found.append(dict(zip(columns, cells, strict=True)))
    return found


def test_it_says_what_the_model_is(card):
    data = card.data
    assert (data.license, data.library_name) == ("apache-2.0", "transformers")
    assert data.pipeline_tag == "image-to-image"
    assert "https://arxiv.org/abs/2201.04364" in card.text  # the Hub links the paper by this


def test_the_index_survives_the_library_of_the_hub(results):
    index = eval_results_to_model_index("SCSNet", results)
    assert len(model_index_to_eval_results(index)[1]) == len(results)
    assert {(result.dataset_type, result.dataset_split) for result in results} == {
        ("photographs", "validation")
    }


def test_every_value_of_the_tables_is_in_the_index(results):
    measured = {"", "RGB PSNR (dB)"}
    tables = [row for row in rows("model_card.md") if measured <= row.keys()]
    expected = [
        (row[""], row.get("magnification", "4"), value)
        for row in tables
        if row[""].startswith(("medium, ", "small, "))
        for column, value in row.items()
        if column not in ("", "magnification")
    ]
    given = [
        (result.task_name, _magnification(result.dataset_name), float(result.metric_value))
        for result in results
    ]
    assert sorted(given) == sorted((row, scale, float(value)) for row, scale, value in expected)


def _magnification(dataset: str) -> str:
    return dataset.rpartition("magnification ")[2] if "magnification" in dataset else "4"


def test_the_readme_has_the_same_results(results):
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    for task, words in ROWS_OF_THE_README.items():
        start = f"| `medium`, {words} |"
        row = next(line for line in lines if line.startswith(start))  # of the first table
        cells = [cell.strip() for cell in row.removeprefix(start).split("|")]
        for result in results:
            if (
                result.task_name == task
                and _magnification(result.dataset_name) == "4"
                and result.metric_type in ("psnr", "psnr_l", "colorfulness")
            ):
                assert str(result.metric_value) in cells


def test_every_image_exists():
    for page in ("README.md", "model_card.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        images = [part.split(")")[0] for part in text.split("](space/")[1:]]
        assert images
        assert all((ROOT / "space" / image).is_file() for image in images)
