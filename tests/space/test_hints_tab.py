"""The tab *Hints* in a browser."""

import io
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.space_server import SPACE, Visits, running_space
from scsnet_hf import embedded_checkpoint

pytestmark = pytest.mark.slow
PHONE = {"width": 390, "height": 844}
PHOTOGRAPH = SPACE / "examples" / "dust-bowl-home.jpg"
WIDTH, HEIGHT = 400, 308


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The Space with the embedded checkpoint, as if it had learned color hints."""
    model = tmp_path_factory.mktemp("model") / "medium"
    shutil.copytree(embedded_checkpoint(), model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "color_hints": True}))
    temporary = tmp_path_factory.mktemp("space")
    with running_space(SPACE / "app.py", temporary, SCSNET_MODEL=str(model)) as server:
        yield server


@pytest.fixture
def visit(browser, server):
    """Opens the tab with a photograph; fails at the end if the page had errors."""
    visits = Visits(browser, server, ready="#colorize-run")

    def open_tab(**viewport: int):
        page = visits(**viewport)
        page.set_default_timeout(30_000)
        page.get_by_role("tab", name="Hints").click()
        page.set_input_files("#hints-image input[type=file]", PHOTOGRAPH)
        page.wait_for_selector("#hints-canvas img")
        return page

    yield open_tab
    visits.close()
    assert not visits.problems


def shown(page, element: str = "hints-canvas") -> Image.Image:
    source = page.get_attribute(f"#{element} img", "src")
    return Image.open(io.BytesIO(page.request.get(source).body())).convert("RGB")


class Change:
    """Waits until what is done in its block has changed the image that is shown."""

    def __init__(self, page, element: str = "hints-canvas"):
        self.page, self.element = page, element

    def __enter__(self):
        self.before = self.page.get_attribute(f"#{self.element} img", "src")

    def __exit__(self, *error):
        self.page.wait_for_function(
            "([element, before]) => document.querySelector(`#${element} img`)?.src != before",
            arg=[self.element, self.before],
        )


def click_at(page, across: float, down: float) -> None:
    page.wait_for_timeout(300)
    box = page.query_selector("#hints-canvas img").bounding_box()
    place = {"x": across * box["width"], "y": down * box["height"]}
    with Change(page):
        page.click("#hints-canvas img", position=place)


def choose_color(page, index: int) -> None:
    with Change(page):
        page.click(f"#hints-palette button.thumbnail-item >> nth={index}")


def saved(page) -> dict:
    with page.expect_download() as download:
        page.click("#hints-save")
    return json.loads(Path(download.value.path()).read_text())


def test_three_clicks_recolor_and_undo_restores_the_same_pixels(visit):
    page = visit()
    versions = [shown(page)]
    for place, color in (((0.2, 0.8), 4), ((0.5, 0.2), 6), ((0.8, 0.6), 9)):
        click_at(page, *place)
        versions.append(shown(page))
        choose_color(page, color)
        versions.append(shown(page))
    hints = saved(page)["hints"]
    places = [(hint["x"] / WIDTH, hint["y"] / HEIGHT) for hint in hints]
    assert np.allclose(places, [(0.2, 0.8), (0.5, 0.2), (0.8, 0.6)], atol=0.02)
    assert len({hint["color"] for hint in hints}) == 3
    for one, other in pairwise(versions):
        assert one != other
    for version in versions[-2::-1]:
        with Change(page):
            page.click("#hints-undo")
        assert shown(page) == version


def test_a_saved_file_brings_the_same_image_back(visit, tmp_path):
    page = visit()
    click_at(page, 0.3, 0.7)
    choose_color(page, 5)
    before, hints = shown(page), saved(page)
    (tmp_path / "hints.json").write_text(json.dumps(hints))
    with Change(page):
        page.click("#hints-clear")
    assert shown(page) != before
    with Change(page):
        with page.expect_file_chooser() as chooser:
            page.click("#hints-load")
        chooser.value.set_files(tmp_path / "hints.json")
    assert shown(page) == before
    assert saved(page) == hints


def test_a_hint_is_moved_deleted_and_its_reach_shown(visit):
    page = visit()
    empty = shown(page)
    click_at(page, 0.3, 0.7)
    page.click("text=moves the selected one")
    click_at(page, 0.6, 0.4)
    (hint,) = saved(page)["hints"]
    assert (hint["x"] / WIDTH, hint["y"] / HEIGHT) == pytest.approx((0.6, 0.4), abs=0.02)
    page.click("text=How far the selected hint reaches")
    page.click("#hints-show-reach")
    page.wait_for_selector("#hints-reach img")
    assert np.asarray(shown(page, "hints-reach")).mean() < np.asarray(shown(page)).mean()
    with Change(page):
        page.click("#hints-delete")
    assert shown(page) == empty


def test_the_keyboard_is_enough(visit):
    page = visit()
    for name, value in (("x", "120"), ("y", "200")):
        page.fill(f"#hints-{name} input", value)
        page.keyboard.press("Tab")
    page.focus("#hints-add")
    with Change(page):
        page.keyboard.press("Enter")
    page.focus("#hints-palette button.thumbnail-item >> nth=7")
    with Change(page):
        page.keyboard.press("Enter")
    (hint,) = saved(page)["hints"]
    assert (hint["x"], hint["y"]) == (120, 200)


def test_the_result_is_a_file_of_its_final_size(visit):
    page = visit()
    click_at(page, 0.3, 0.7)
    choose_color(page, 5)
    page.click("#hints-run")
    page.wait_for_selector("#hints-summary >> text=1 hints")
    with page.expect_download() as download:
        page.click("#hints-download")
    assert download.value.suggested_filename == "dust-bowl-home.scs.png"
    assert Image.open(download.value.path()).size == (2 * WIDTH, 2 * HEIGHT)


def test_without_an_image_it_says_what_to_do(browser, server):
    visits = Visits(browser, server, ready="#colorize-run")
    page = visits()
    page.get_by_role("tab", name="Hints").click()
    page.click("#hints-undo")
    page.wait_for_selector("text=There is no image yet")
    visits.close()


def test_a_phone_never_scrolls_sideways(visit):
    page = visit(**PHONE)
    click_at(page, 0.3, 0.7)
    choose_color(page, 5)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
