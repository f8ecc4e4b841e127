"""The page of scripts/human_study.py as raters find it, in a browser."""

import csv
import io
import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.images import make_image
from helpers.space_server import Visits, running_space

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "human_study.py"
PHONE = {"width": 390, "height": 844}
REDNESS = {"method-red": 200, "method-gray": 100, "method-dark": 0}  # the red of all its pixels
IMAGES = ["cat", "dog"]
SIDES = ("left", "right")
QUESTIONS = len(IMAGES) * (len(REDNESS) - 1)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A running study: the server, and the file of answers."""
    folder, temporary = tmp_path_factory.mktemp("study"), tmp_path_factory.mktemp("temporary")
    for method, red in REDNESS.items():
        (folder / method).mkdir()
        for image in IMAGES:
            channels = list(make_image(96, 64).split())
            channels[0] = Image.new("L", (96, 64), red)
            Image.merge("RGB", channels).save(folder / method / f"{image}.png")
    folders = (folder / method for method in REDNESS)
    answers = folder / "answers.csv"
    with running_space(SCRIPT, temporary, "run", *folders, "--answers", answers) as server:
        yield server, answers
        kept = server.folder
        assert {file.name for file in temporary.iterdir()} == {"log", kept.name}
    assert not kept.exists()  # it cleans up after itself


@pytest.fixture
def visit(browser, study):
    """Opens the page as a new visitor, who in the end has met no problems and no method's name."""
    server, _ = study
    visits = Visits(browser, server, ready="#study-name")
    yield visits
    told = [page.content() for page in visits.pages]
    visits.close()
    assert not visits.problems
    assert not any("method-" in text for text in (*visits.requests, *told))


def start(page, rater: str) -> None:
    page.fill("#study-name", rater)
    page.keyboard.press("Enter")


def may_choose(page) -> str:
    """Wait until a choice is allowed; what the page says of the progress."""
    page.wait_for_selector(".choices button.left:enabled")
    return page.inner_text(".progress")


def shown_methods(page) -> list[str]:
    """The methods on the left and on the right, by what the browser got."""
    methods = {red: method for method, red in REDNESS.items()}
    addresses = [page.evaluate(f"document.querySelector('img.{side}').src") for side in SIDES]
    images = [Image.open(io.BytesIO(page.request.get(url).body())) for url in addresses]
    return [methods[int(np.asarray(image)[0, 0, 0])] for image in images]


def answers_of(study, rater: str) -> list[dict[str, str]]:
    """What is in the file now."""
    with study[1].open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["rater"] == rater]


def wait_for_answers(page, study, rater: str, count: int) -> list[dict[str, str]]:
    """The answers, as soon as the page asks the next question after so many."""
    if count < QUESTIONS:
        page.wait_for_selector(f".progress:text-is('{count + 1} of {QUESTIONS}')")
    else:
        page.wait_for_selector(".done h1")
    rows = answers_of(study, rater)
    assert len(rows) == count
    return rows


def test_keys_choose_and_a_reload_goes_on(visit, study):
    page = visit()
    start(page, "Anna")
    for index, (key, side) in enumerate([("ArrowRight", 1), ("f", 0)]):
        assert may_choose(page) == f"{index + 1} of {QUESTIONS}"
        methods = shown_methods(page)
        page.keyboard.press(key)
        row = wait_for_answers(page, study, "anna", index + 1)[-1]
        assert (row["left"], row["preferred"]) == (methods[0], methods[side])
        assert {row["a"], row["b"]} == set(methods)
    page.reload()
    page.wait_for_selector(".start")
    assert page.input_value("#study-name") == "anna"
    page.click(".start")
    for index, key in enumerate(["j", "ArrowLeft"], start=2):
        assert may_choose(page) == f"{index + 1} of {QUESTIONS}"
        page.keyboard.press(key)
        rows = wait_for_answers(page, study, "anna", index + 1)
    assert f"All {QUESTIONS} pairs have your answer" in page.inner_text(".done")
    assert len({(row["image"], row["a"], row["b"]) for row in rows}) == QUESTIONS


# All in one go, because a test may be slower than a second; the key comes too early.
WHILE_SHOWN = """() => {
  if (!document.querySelector(".stage.shown")) return null;
  document.dispatchEvent(new KeyboardEvent("keydown", {code: "KeyF"}));
  const visible = image => image.naturalWidth && getComputedStyle(image).visibility == "visible";
  return {
    images: [...document.querySelectorAll(".stage img")].filter(visible).length,
    choices: document.querySelectorAll(".choices button:enabled").length,
  };
}"""


def test_a_pair_is_visible_for_a_second_and_then_a_choice_is_allowed(visit, study):
    page = visit()
    start(page, "patient")
    visible = page.wait_for_function(WHILE_SHOWN).json_value()
    assert visible == {"images": 2, "choices": 0}
    may_choose(page)
    images = page.locator(".stage img")
    assert [image.is_visible() for image in images.all()] == [False, False]
    assert answers_of(study, "patient") == []
    left, _ = shown_methods(page)
    page.click(".choices button.left")
    (row,) = wait_for_answers(page, study, "patient", 1)
    assert row["preferred"] == left
    assert 0.98 <= float(row["shown"]) < 1.5
    assert float(row["shown"]) < float(row["reaction"]) < 10


def test_raters_at_once_do_not_mix(visit, study):
    pages = {"carla": visit(), "dan": visit()}
    for rater, page in pages.items():
        start(page, rater)
    for index in range(2):
        chosen = {}
        for rater, page in pages.items():
            assert may_choose(page) == f"{index + 1} of {QUESTIONS}"
            chosen[rater] = shown_methods(page)[0]
            page.keyboard.press("f")
        for rater, page in pages.items():
            row = wait_for_answers(page, study, rater, index + 1)[-1]
            assert row["preferred"] == row["left"] == chosen[rater]


def test_an_answer_waits_for_the_server(visit, study):
    page = visit()
    start(page, "Eve")
    may_choose(page)
    page.route("**/component_server/", lambda route: route.abort())
    page.keyboard.press("j")
    page.wait_for_selector("text=The server does not answer")
    assert answers_of(study, "eve") == []
    page.unroute("**/component_server/")
    wait_for_answers(page, study, "eve", 1)
    assert page.inner_text(".problem") == ""
    assert all("ERR_FAILED" in problem for problem in visit.problems)
    visit.problems.clear()


def test_a_phone_and_a_name_that_is_none(visit):
    page = visit(**PHONE)
    start(page, "<b>")
    page.wait_for_selector("text=A name has 1 to 40 letters")
    start(page, "Fred")
    page.wait_for_selector(".stage.shown")
    left, right = (image.bounding_box() for image in page.locator(".stage img").all())
    assert left["x"] >= 0
    assert left["x"] + left["width"] <= right["x"]
    assert right["x"] + right["width"] <= PHONE["width"]
    assert left["width"] == right["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


class TestReplies:
    @pytest.fixture
    def send(self, study):
        """Sends a message to a function of the server, as the page does; gives the reply."""
        server, _ = study
        config = json.load(urllib.request.urlopen(f"{server.url}/config"))
        assert "method-" not in json.dumps(config)
        (component,) = (part for part in config["components"] if part["type"] == "html")

        def send(function: str, message: object) -> dict:
            call = {"fn_name": function, "component_id": component["id"], "session_hash": "x"}
            request = urllib.request.Request(
                f"{server.url}/gradio_api/component_server/",
                data=json.dumps({**call, "data": message}).encode(),
                headers={"Content-Type": "application/json"},
            )
            return json.load(urllib.request.urlopen(request))

        return send

    def test_they_do_not_tell_the_methods(self, send):
        reply = send("begin", {"rater": "Gina"})
        choice = {"choice": "left", "shown": 1, "reaction": 2}
        following = send("answer", {**reply, **choice})
        assert (reply["number"], following["number"]) == (1, 2)
        assert "method-" not in json.dumps([reply, following])

    @pytest.mark.parametrize("message", [None, [], 7, "x", {}, {"rater": 7}, {"rater": "hans"}])
    def test_nonsense_is_answered_and_not_saved(self, send, study, message):
        assert send("answer", message)["problem"]
        assert answers_of(study, "hans") == []
