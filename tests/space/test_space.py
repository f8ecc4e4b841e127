"""The Space as visitors find it: in a browser, and through its endpoints."""

import io
import json
import os
import shutil
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from demonstration import Results
from helpers.images import make_image
from helpers.space_server import SPACE, Visits, running_space

pytestmark = pytest.mark.slow
EXAMPLES = SPACE / "examples"
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def proxy():
    """Records connections: any traffic to other machines would pass here."""
    visits = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            visits.append(self.request.recv(200))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.visits = visits
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def server(tmp_path_factory, proxy):
    """The Space of the checkout, with the embedded checkpoint."""
    address = f"http://127.0.0.1:{proxy.server_address[1]}"
    environment = {
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), address),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
    }
    temporary = tmp_path_factory.mktemp("space")
    with running_space(SPACE / "app.py", temporary, **environment) as server:
        yield server


@pytest.fixture
def visit(browser, server):
    """Opens the page as a new visitor; fails at the end if the page had errors."""
    visits = Visits(browser, server, ready="#colorize-run")
    yield visits
    visits.close()
    assert not visits.problems


@pytest.fixture
def gray(tmp_path):
    """A file of a photograph in gray."""

    def save(name: str = "old.png", example: str = "dust-bowl-home.jpg", side: int = 96) -> Path:
        image = Image.open(EXAMPLES / example).convert("L")
        image.thumbnail((side, side))
        image.save(tmp_path / name)
        return tmp_path / name

    return save


def give(page, name: str, file: Path) -> None:
    """Upload an image and wait until it is shown."""
    page.set_input_files(f"#{name} input[type=file]", file)
    page.wait_for_selector(f"#{name} img")


def shown(page, selector: str, count: int = 1) -> list[Image.Image]:
    """The `count` images in an element, as the browser received them."""
    page.wait_for_function(
        "([selector, count]) => document.querySelectorAll(`${selector} img`).length == count",
        arg=[selector, count],
    )
    sources = [image.get_attribute("src") for image in page.query_selector_all(f"{selector} img")]
    return [Image.open(io.BytesIO(page.request.get(source).body())) for source in sources]


def click_at(page, selector: str, across: float, down: float) -> None:
    """Click an image at shares of its width and height, once its layout has settled."""
    page.wait_for_function(
        """selector => {
            const {width, height, x, y} = document.querySelector(selector).getBoundingClientRect();
            const place = [width, height, x, y].join();
            const settled = window.lastPlace === place;
            window.lastPlace = place;
            return settled;
        }""",
        arg=selector,
        polling=300,
    )
    box = page.query_selector(selector).bounding_box()
    page.click(selector, position={"x": across * box["width"], "y": down * box["height"]})


def colorize(page) -> tuple[Image.Image, Image.Image]:
    """Press the button, and take before and after out of the slider."""
    page.click("#colorize-run")
    page.wait_for_selector("#colorize-summary >> text=/ to .* s$/")
    before, after = shown(page, "#colorize-slider", 2)
    return before, after


def mean_chroma(image: Image.Image) -> float:
    """Difference of the strongest and the weakest of red, green and blue."""
    return np.ptp(np.asarray(image.convert("RGB"), dtype=float), axis=2).mean()


def mean_color(image: Image.Image) -> np.ndarray:
    """Red minus green and blue minus green."""
    red, green, blue = np.asarray(image.convert("RGB"), dtype=float).mean(axis=(0, 1))
    return np.array([red - green, blue - green])


class TestColorize:
    def test_a_gray_photograph_becomes_a_colored_one_of_twice_the_size(self, visit, gray):
        page = visit()
        give(page, "colorize-image", gray("family photo.png"))
        before, after = colorize(page)
        width, height = Image.open(gray()).size
        assert before.size == after.size == (2 * width, 2 * height)
        assert (before.format, after.format) == ("PNG", "PNG")
        assert mean_chroma(before) == 0
        assert mean_chroma(after) > 5
        with page.expect_download() as download:
            page.click("#colorize-download")
        assert download.value.suggested_filename == "family photo.scs.png"
        assert Image.open(download.value.path()) == after

    def test_an_exact_size(self, visit, gray):
        page = visit()
        give(page, "colorize-image", gray())
        page.click("text=Or an exact size")
        page.fill("#colorize-width input", "131")
        page.fill("#colorize-height input", "77")
        assert colorize(page)[1].size == (131, 77)

    def test_colors_change_towards_a_reference(self, visit, gray):
        page = visit()
        give(page, "colorize-image", gray())
        _, automatic = colorize(page)
        page.click("text=Reference: whose colors to use")
        page.click("#colorize-gallery button.thumbnail-item >> nth=0")
        page.wait_for_selector("#colorize-reference img")
        (reference,) = shown(page, "#colorize-reference")
        automatic_source = page.get_attribute("#colorize-slider img", "src")
        page.click("#colorize-run")
        page.wait_for_function(
            "old => document.querySelector('#colorize-slider img').src != old",
            arg=automatic_source,
        )
        _, referential = shown(page, "#colorize-slider", 2)
        target = mean_color(reference)
        closer = np.linalg.norm(mean_color(referential) - target)
        assert closer < 0.8 * np.linalg.norm(mean_color(automatic) - target)

    def test_references_are_proposed_for_the_image(self, visit, gray):
        page = visit()
        give(page, "colorize-image", gray("a.png", "astronaut.jpg"))
        page.click("text=Reference: whose colors to use")
        page.click("#colorize-propose")
        page.wait_for_selector("#colorize-gallery >> text=grace-hopper 0.")
        first = page.inner_text("#colorize-gallery button.thumbnail-item >> nth=0")
        assert first.startswith("grace-hopper")

    def test_the_keyboard_is_enough(self, visit, gray):
        page = visit()
        give(page, "colorize-image", gray())
        focused = "document.activeElement.id"
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(focused) == "colorize-run":
                break
        page.keyboard.press("Enter")
        page.wait_for_selector("#colorize-slider img")
        page.focus("#colorize-divider input[type=range]")
        page.keyboard.press("End")
        page.wait_for_function(
            "() => /inset\\(0px 0px 0px (100|99\\.9\\d*)%/.test("
            "document.querySelectorAll('#colorize-slider img')[1].style.clipPath)"
        )

    def test_a_reload_keeps_the_result_and_another_visitor_does_not_get_it(self, visit, gray):
        page = visit()
        give(page, "colorize-image", gray())
        _, after = colorize(page)
        page.wait_for_timeout(500)
        page.reload()
        assert shown(page, "#colorize-slider", 2)[1] == after
        other = visit()
        other.wait_for_timeout(2000)
        assert not other.query_selector_all("#colorize-slider img")

    def test_a_large_image_is_reduced_with_a_notice(self, visit, tmp_path):
        make_image(2000, 1500, "L").save(tmp_path / "large.png")
        page = visit()
        give(page, "colorize-image", tmp_path / "large.png")
        page.fill("#colorize-magnification input[type=number]", "0.5")
        page.keyboard.press("Tab")
        _, after = colorize(page)
        assert "up to 2 megapixels" in page.inner_text("body")
        assert 0.95 * 2e6 / 4 < after.width * after.height <= 2e6 / 4

    def test_two_visitors_at_once_get_their_own_images(self, visit, gray):
        files = [gray("one.png", "chelsea.jpg", 64), gray("two.png", "astronaut.jpg", 80)]
        pages = [visit(), visit()]
        for page, file in zip(pages, files, strict=True):
            give(page, "colorize-image", file)
        for page in pages:
            page.click("#colorize-run")
        for page, file in zip(pages, files, strict=True):
            before, after = shown(page, "#colorize-slider", 2)
            width, height = Image.open(file).size
            assert after.size == (2 * width, 2 * height)
            own = Image.open(file).resize(before.size, Image.Resampling.BICUBIC)
            assert np.abs(np.asarray(before, float) - np.asarray(own, float)).max() <= 1


class TestBadFiles:
    def test_a_text_is_refused(self, visit, tmp_path):
        (tmp_path / "notes.txt").write_text("no image")
        page = visit()
        page.set_input_files("#colorize-image input[type=file]", tmp_path / "notes.txt")
        page.wait_for_selector("text=Invalid file type: notes.txt")

    def test_a_text_with_the_suffix_of_an_image_is_named(self, visit, tmp_path):
        (tmp_path / "notes.png").write_text("no image")
        page = visit()
        page.set_input_files("#colorize-image input[type=file]", tmp_path / "notes.png")
        page.wait_for_selector("#colorize-image img")
        page.click("#colorize-run")
        page.wait_for_selector("text=notes.png: is not an image that can be read")

    def test_a_file_above_the_limit_is_refused_with_the_limit(self, visit, tmp_path):
        (tmp_path / "huge.png").write_bytes(bytes(21 * 10**6))
        page = visit()
        page.set_input_files("#colorize-image input[type=file]", tmp_path / "huge.png")
        page.wait_for_selector("text=/maximum allowed size of 20/")

    def test_no_image_at_all(self, visit):
        page = visit()
        page.click("#colorize-run")
        page.wait_for_selector("text=There is no image yet")


class TestOtherTabs:
    def test_a_click_shows_where_that_point_looks(self, visit, gray):
        page = visit()
        page.get_by_role("tab", name="Look inside").click()
        give(page, "look-image", gray())
        give(page, "look-reference", EXAMPLES / "chelsea.jpg")
        shown(page, "#look-point")
        click_at(page, "#look-point img", 0.25, 0.75)
        shown(page, "#look-maps", 9)  # attention and two valves, at three levels
        across, down = (
            float(page.input_value(f"#look-{axis} input[type=number]")) for axis in "xy"
        )
        assert (across, down) == (pytest.approx(25, abs=2), pytest.approx(75, abs=2))
        (point,) = shown(page, "#look-point")
        pixels = np.asarray(point.convert("RGB"), dtype=int)
        red = np.argwhere(pixels[..., 0] - pixels[..., 1] > 100).mean(axis=0)
        assert (point.width, point.height) == (640, 493)
        assert red == pytest.approx([0.75 * point.height, 0.25 * point.width], abs=12)

    def test_a_reload_keeps_the_maps(self, visit, gray):
        page = visit()
        page.get_by_role("tab", name="Look inside").click()
        give(page, "look-image", gray())
        give(page, "look-reference", EXAMPLES / "chelsea.jpg")
        page.click("#look-run")
        maps = shown(page, "#look-maps", 9)
        page.wait_for_timeout(500)
        page.reload()
        page.get_by_role("tab", name="Look inside").click()
        assert shown(page, "#look-maps", 9) == maps

    def test_a_zoom_is_an_animation(self, visit, gray):
        page = visit()
        page.get_by_role("tab", name="Zoom").click()
        give(page, "zoom-image", gray())
        page.click("#zoom-run")
        (animation,) = shown(page, "#zoom-animation")
        assert (animation.format, animation.n_frames) == ("WEBP", 48)
        (strip,) = shown(page, "#zoom-strip")
        assert strip.width > 2 * strip.height

    def test_one_bad_file_does_not_lose_the_rest(self, visit, gray, tmp_path):
        (tmp_path / "bad.png").write_text("no image")
        page = visit()
        page.get_by_role("tab", name="Batch").click()
        files = [gray("one.png"), tmp_path / "bad.png", gray("two.png", "chelsea.jpg")]
        page.set_input_files("#batch-files input[type=file]", files)
        page.wait_for_selector("#batch-files >> text=two")
        page.click("#batch-run")
        page.wait_for_selector("#batch-zip a")
        report = page.input_value("#batch-report textarea")
        assert "2 of 3 done" in report
        assert "bad.png: not done" in report
        content = page.request.get(page.get_attribute("#batch-zip a", "href")).body()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.namelist() == ["one.scs.png", "two.scs.png"]
            assert Image.open(archive.open("one.scs.png")).size[0] == 2 * 96

    def test_without_a_model_for_texts_there_is_no_tab(self, visit):
        assert visit().get_by_role("tab", name="Describe").count() == 0


def test_a_phone_never_scrolls_sideways(visit, gray):
    page = visit(**PHONE)
    give(page, "colorize-image", gray())
    colorize(page)
    for tab in ("Colorize", "Look inside", "Zoom", "Batch"):
        if not page.get_by_role("tab", name=tab).is_visible():
            page.click(".overflow-menu > button")
            page.locator(".overflow-dropdown").get_by_text(tab).click()
        else:
            page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], tab


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    return Client(server.url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


class TestEndpoints:
    def test_all_have_names_and_descriptions(self, client):
        endpoints = client.view_api(return_format="dict")["named_endpoints"]
        assert set(endpoints) == {
            "/colorize",
            "/look_inside",
            "/zoom",
            "/batch",
            "/propose_references",
        }
        assert all(endpoint["description"] for endpoint in endpoints.values())
        results = [result["label"] for each in endpoints.values() for result in each["returns"]]
        assert not any(label.startswith("value_") for label in results)

    def test_colorize(self, client, gray):
        slider, file, summary = client.predict(
            image=handle_file(gray()), width=90, saturation=0, api_name="/colorize"
        )
        result = Image.open(file)
        assert result.size == (90, 69)
        assert mean_chroma(result) == 0
        assert Image.open(slider[1]) == result
        assert summary.startswith("96x74 to 90x69")

    def test_keeping_the_lightness_keeps_it(self, client, gray):
        _, file, _ = client.predict(
            image=handle_file(gray()), magnification=1, keep_luminance=True, api_name="/colorize"
        )
        from scsnet_hf import SCSNetImageProcessor

        processor = SCSNetImageProcessor()
        kept, own = (processor.source_tensor(Image.open(path)) for path in (file, gray()))
        assert (kept - own).abs().max() < 0.02

    def test_look_inside(self, client, gray):
        point, maps = client.predict(
            image=handle_file(gray()),
            reference=handle_file(EXAMPLES / "chelsea.jpg"),
            across=10,
            down=90,
            api_name="/look_inside",
        )
        assert Image.open(point).width == 640
        assert [entry["caption"] for entry in maps] == [
            f"{level} {kind}"
            for level in (1, 2, 3)
            for kind in ("attention", "source valve", "reference valve")
        ]

    def test_zoom(self, client, gray):
        animation, strip = client.predict(
            image=handle_file(gray()), magnification=6, api_name="/zoom"
        )
        assert Image.open(animation).size == (3 * 96, 3 * 74)  # and the last frame twice closer
        assert Image.open(strip).format == "PNG"

    def test_batch(self, client, gray):
        files = [handle_file(gray("one.png")), handle_file(EXAMPLES / "README.md")]
        archive, report = client.predict(files=files, magnification=1, api_name="/batch")
        assert zipfile.ZipFile(archive).namelist() == ["one.scs.png"]
        assert report.splitlines()[0] == "1 of 2 done"

    def test_a_batch_reports_reductions(self, client, tmp_path):
        make_image(2000, 1500, "L").save(tmp_path / "large.png")
        _, report = client.predict(
            files=[handle_file(tmp_path / "large.png")], magnification=0.5, api_name="/batch"
        )
        assert "up to 2 megapixels" in report

    def test_propose_references(self, client, gray):
        proposals = client.predict(image=handle_file(gray()), api_name="/propose_references")
        assert len(proposals) == 3
        assert Image.open(proposals[0]["image"]).format == "JPEG"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"width": 9000, "height": 9000}, "up to 16 megapixels"),
            ({"magnification": 99}, "maximum value 8"),
            ({"reference": handle_file(__file__)}, "test_space.py: is not an image"),
        ],
    )
    def test_errors_say_what_is_accepted_and_no_folder(self, client, gray, arguments, message):
        with pytest.raises(AppError) as error:
            client.predict(image=handle_file(gray()), **arguments, api_name="/colorize")
        assert message in str(error.value)
        assert "/tmp" not in str(error.value)

    @pytest.mark.parametrize("endpoint", ["/colorize", "/batch"])
    def test_urls_are_not_fetched(self, server, client, endpoint):
        source = {"path": f"{server.url}/logo.png", "meta": {"_type": "gradio.FileData"}}
        given = {"files": [source]} if endpoint == "/batch" else {"image": source}
        with pytest.raises(AppError, match="URLs are not fetched"):
            client.predict(**given, api_name=endpoint)

    def test_nothing_done_is_an_error(self, client):
        with pytest.raises(AppError, match="None of the files could be done"):
            client.predict(files=[handle_file(EXAMPLES / "README.md")], api_name="/batch")


def test_many_requests_at_once_are_answered_right_and_cost_no_memory(server, client, gray):
    def request(side: int) -> bool:
        file = gray(f"{side}.png", "chelsea.jpg", side)
        _, result, _ = client.predict(image=handle_file(file), api_name="/colorize")
        width, height = Image.open(file).size
        return Image.open(result).size == (2 * width, 2 * height)

    sides = range(64, 80)
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(request, sides))  # whatever is set up once is there now
        before = resident_memory(server.process.pid)
        assert all(pool.map(request, sides))
    assert resident_memory(server.process.pid) <= 1.1 * before


def resident_memory(process: int) -> int:
    """In kB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


class TestResults:
    @pytest.fixture
    def results(self, tmp_path):
        return Results(tmp_path / "results")

    def test_a_result_is_found_by_its_name(self, results):
        folder = results.create()
        assert results.find(folder.name) == folder

    @pytest.mark.parametrize("name", [None, "", "..", "../..", "0" * 32, 7, ["a"]])
    def test_nothing_else_is(self, results, name):
        (results.folder / "other").mkdir()
        assert results.find(name) is None
        assert results.find("other") is None

    def test_it_is_kept_for_a_day(self, results):
        old, young = results.create(), results.create()
        for folder, hours in ((old, 25), (young, 23)):
            then = time.time() - 3600 * hours
            os.utime(folder, (then, then))
        results.create()
        assert not old.exists()
        assert young.exists()


class TestPrivacy:
    @pytest.mark.parametrize("path", ["/etc/passwd", SPACE / "app.py", SPACE / "README.md"])
    def test_no_file_outside_the_temporary_folder_is_sent(self, server, path):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{server.url}/gradio_api/file={urllib.parse.quote(str(path))}")
        assert error.value.code == 403

    def test_no_file_outside_can_be_worked_on(self, server):
        outside = {"path": str(SPACE / "before_after.png"), "meta": {"_type": "gradio.FileData"}}
        call = f"{server.url}/gradio_api/call/propose_references"
        request = urllib.request.Request(
            call,
            data=json.dumps({"data": [outside]}).encode(),
            headers={"Content-Type": "application/json"},
        )
        event = json.load(urllib.request.urlopen(request))["event_id"]
        answer = urllib.request.urlopen(f"{call}/{event}").read().decode()
        assert "event: error" in answer
        assert "event: complete" not in answer

    def test_everything_written_is_in_one_folder(self, server):
        assert {file.name for file in server.temporary.iterdir()} == {"log", server.folder.name}

    def test_no_other_machine_is_contacted(self, server, proxy):
        assert proxy.visits == []


@pytest.fixture(scope="module")
def lone_server(tmp_path_factory, tiny_model):
    """A copy of the folder alone, with other models and references."""
    from diffusers import StableDiffusionPipeline

    from helpers.tiny_diffusion import tiny_components
    from scsnet_hf import SCSNetImageProcessor

    folder, temporary = tmp_path_factory.mktemp("lone"), tmp_path_factory.mktemp("temporary")
    shutil.copytree(SPACE, folder / "space", ignore=shutil.ignore_patterns("__pycache__"))
    tiny_model.save_pretrained(folder / "model")
    SCSNetImageProcessor().save_pretrained(folder / "model")
    StableDiffusionPipeline(**tiny_components()).save_pretrained(folder / "texts")
    (folder / "references").mkdir()
    make_image(40, 30).save(folder / "references" / "mine.png")
    environment = {
        "SCSNET_MODEL": str(folder / "model"),
        "SCSNET_TEXT_TO_IMAGE": str(folder / "texts"),
        "SCSNET_REFERENCES": str(folder / "references"),
    }
    with running_space(folder / "space" / "app.py", temporary, **environment) as server:
        yield server
        kept = server.folder
    assert not kept.exists()  # deleted by the server when it stops


@pytest.fixture(scope="module")
def lone_client(lone_server, tmp_path_factory):
    downloads = tmp_path_factory.mktemp("downloads")
    return Client(lone_server.url, verbose=False, download_files=downloads)


def test_a_folder_without_references_is_one_line(tmp_path):
    environment = {**os.environ, "SCSNET_REFERENCES": str(tmp_path), "TMPDIR": str(tmp_path)}
    finished = subprocess.run(
        [sys.executable, SPACE / "app.py"], env=environment, capture_output=True, text=True
    )
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1] == (
        f"app.py: SCSNET_REFERENCES={tmp_path}: holds no images that can be read"
    )


class TestLoneFolder:
    def test_it_works_with_the_model_given(self, lone_client, gray):
        _, file, _ = lone_client.predict(image=handle_file(gray()), api_name="/colorize")
        assert Image.open(file).size == (192, 148)

    def test_the_references_given_are_proposed(self, lone_client, gray):
        (proposal,) = lone_client.predict(image=handle_file(gray()), api_name="/propose_references")
        assert proposal["caption"].startswith("mine ")

    def test_every_line_of_a_text_gives_a_version_and_its_reference(self, lone_client, gray):
        versions, references = lone_client.predict(
            image=handle_file(gray()),
            prompts="a red house\n\na blue house",
            steps=2,
            api_name="/describe",
        )
        assert [entry["caption"] for entry in versions] == ["version 1", "version 2"]
        assert [entry["caption"] for entry in references] == ["reference 1", "reference 2"]
        first, second = (Image.open(entry["image"]) for entry in versions)
        assert first.size == (192, 148)
        assert first != second

    @pytest.mark.parametrize(
        ("prompts", "message"), [(" \n", "Describe what"), ("a\n" * 5, "5 lines are too many")]
    )
    def test_no_text_or_too_much_of_it(self, lone_client, gray, prompts, message):
        with pytest.raises(AppError, match=message):
            lone_client.predict(image=handle_file(gray()), prompts=prompts, api_name="/describe")
