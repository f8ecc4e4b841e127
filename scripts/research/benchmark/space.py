"""How long a visitor of the Space waits."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from .interleaved import Measurements, interleave

if TYPE_CHECKING:
    from playwright.sync_api import Page

SPACE = Path(__file__).resolve().parents[3] / "space"


def measure_space(browser: str, runs: int, folder: Path = SPACE) -> dict[str, Measurements]:
    """Measure how long visitors wait, each the first after a start of the Space.

    Args:
        browser: command of a Chromium.
        runs: visitors.
        folder: of the Space, with its `app.py` and examples.

    Returns:
        `visit`: seconds until the page, the first result and a further result are shown.

    Raises:
        ValueError: if the browser is not found.
        OSError: if the Space does not start.
    """
    command = shutil.which(browser)
    if command is None:
        raise ValueError(f"--browser {browser}: not found")
    with tempfile.TemporaryDirectory() as images:
        image = Path(images) / "gray.png"
        example = folder / "examples" / "astronaut.jpg"
        Image.open(example).convert("L").resize((256, 256)).save(image)
        visit = partial(_first_visit, folder / "app.py", command, image)
        return interleave({"visit": [visit]}, runs)


def _first_visit(app: Path, browser: str, image: Path) -> dict[str, float]:
    """Start the Space, wait for two results, and stop it."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--headless", "--disable-gpu"]
        page = playwright.chromium.launch(executable_path=browser, args=arguments).new_page()
        started = time.perf_counter()
        space = subprocess.Popen(
            [sys.executable, str(app)],
            env={**os.environ, "GRADIO_SERVER_PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for_port(port, space)
            page.goto(f"http://127.0.0.1:{port}")
            page.wait_for_selector("#colorize-run")
            opened = time.perf_counter()
            page.set_input_files("#colorize-image input[type=file]", image)
            page.wait_for_selector("#colorize-image img")
            _press(page)
            first = time.perf_counter()
            clicked = _press(page)
            return {
                "start to page": opened - started,
                "start to first image": first - started,
                "click to image": time.perf_counter() - clicked,
            }
        finally:
            space.terminate()
            space.wait()


def _wait_for_port(port: int, process: subprocess.Popen) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionError:
            time.sleep(0.05)
    raise OSError(f"the Space did not start: exit code {process.returncode}")


def _press(page: "Page") -> float:
    """Colorize and wait until the result is drawn; returns when the button was pressed."""
    images = "[...document.querySelectorAll('#colorize-slider img')]"
    before = page.evaluate(f"{images}.map(image => image.src)")
    clicked = time.perf_counter()
    page.click("#colorize-run")
    page.wait_for_function(
        f"before => {images}.length == 2 && {images}.every("
        "image => !before.includes(image.src) && image.complete && image.naturalWidth)",
        arg=before,
    )
    return clicked
