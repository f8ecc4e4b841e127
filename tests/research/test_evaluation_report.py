"""Tables side by side, as the paper has them."""

import pytest

from research.evaluation.report import paper_tables


def record(data: str, fid: float, **others) -> dict:
    row = {"fid": fid, "colorfulness": 40.0, "psnr_rgb": 22.125, "ssim": 0.8561}
    return {
        "settings": {"data": data},
        "parameters": {"automatic": 9_954_000},
        "results": {"automatic": row, "sepia": {"psnr_rgb": 19.0}, **others},
    }


def test_data_sets_stand_side_by_side_with_their_average():
    runs = [record("flowers", 46.607), record("coco", 24.047)]
    seconds = [{"automatic": 0.5}, {"automatic": 0.3}]
    sets, pixels = paper_tables(runs, seconds).split("\n\n")
    assert sets.splitlines() == [
        "| | flowers FID | flowers colorfulness | coco FID | coco colorfulness | average FID | "
        "average colorfulness | parameters (M) | images/s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        "| automatic | 46.61 | 40.0 | 24.05 | 40.0 | 35.33 | 40.0 | 9.954 | 2.50 |",
    ]
    assert pixels.splitlines()[-1] == (
        "| automatic | 22.12 | 0.856 | 22.12 | 0.856 | 22.12 | 0.856 | 9.954 | 2.50 |"
    )


def test_a_method_without_known_costs_has_dashes():
    theirs = {"fid": 1.0, "colorfulness": 1.0, "psnr_rgb": 1.0, "ssim": 1.0}
    tables = paper_tables([record("x", 1, theirs=theirs)], [{}])
    assert "| theirs | 1.00 | 1.0 | 1.00 | 1.0 | - | - |" in tables


def test_what_was_not_measured_is_asked_for():
    without = record("coco", 1.0)
    del without["results"]["automatic"]["fid"]
    with pytest.raises(ValueError, match="evaluate them with --fid"):
        paper_tables([record("flowers", 1.0), without], [{}, {}])
