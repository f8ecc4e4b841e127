"""How long does a visitor of the Space wait?"""

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

from .rounds import Repeats, in_turn

if TYPE_CHECKING:
    from playwright.sync_api import Page


def measure_space(folder: Path, browser: str, repeats: int) -> dict[str, Repeats]:
    """How long visitors of the Space wait, each the first.

    Args:
        folder: of the Space, with its `app.py` and examples.
        browser: command of a Chromium.
        repeats: visitors.

    Returns:
        `visit`: seconds until the page, the first image and a further image are there.

    Raises:
        ValueError: if there is no such browser.
        OSError: if the Space does not start.
    """
    command = shutil.which(browser)
    if command is None:
        raise ValueError(f"--browser {browser}: not found")
    with tempfile.TemporaryDirectory() as images:
        image = Path(images) / "gray.png"
        example = folder / "examples" / "astronaut.jpg"
        Image.open(example).convert("L").resize((256, 256)).save(image)
        visit = partial(first_visit, folder / "app.py", command, image)
        return in_turn({"visit": [visit]}, repeats)


def first_visit(app: Path, browser: str, image: Path) -> dict[str, float]:
    """Start the Space, wait for two images in turn, and stop it."""
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
            wait_for_port(port, space)
            page.goto(f"http://127.0.0.1:{port}")
            page.wait_for_selector("#colorize-run")
            opened = time.perf_counter()
            page.set_input_files("#colorize-image input[type=file]", image)
            page.wait_for_selector("#colorize-image img")
            press(page)
            first = time.perf_counter()
            clicked = press(page)
            return {
                "start to page": opened - started,
                "start to first image": first - started,
                "click to image": time.perf_counter() - clicked,
            }
        finally:
            space.terminate()
            space.wait()


def wait_for_port(port: int, process: subprocess.Popen) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionError:
            time.sleep(0.05)
    raise OSError(f"the Space did not start: exit code {process.returncode}")


def press(page: "Page") -> float:
    """Colorize, and wait until a new image is drawn; returns when the button was pressed."""
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
