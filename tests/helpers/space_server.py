"""The Space or another page in a process of its own, and a browser to visit it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

SPACE = Path(__file__).parent.parent.parent / "space"
_STARTS_WITHIN = 120  # seconds
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Server:
    """A running page."""

    url: str
    process: subprocess.Popen
    temporary: Path  # folder for everything it writes

    @property
    def folder(self) -> Path:
        """Its own temporary folder."""
        (folder,) = self.temporary.glob("scsnet-*")
        return folder


@contextmanager
def running_space(
    app: Path, temporary: Path, *arguments: object, **environment: str
) -> Iterator[Server]:
    """Start `python app arguments`, wait until it answers, and stop it in the end.

    Args:
        app: the file.
        temporary: folder for everything it writes.
        arguments: of the command line.
        environment: more variables.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "TMPDIR": str(temporary),
        "HF_HUB_OFFLINE": "1",
        **environment,
    }
    with (temporary / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(app), *map(str, arguments)],
            env=variables,
            stdout=log,
            stderr=log,
            cwd=temporary,
        )
        server = Server(f"http://127.0.0.1:{port}", process, temporary)
        try:
            _wait(server)
            yield server
        finally:
            process.terminate()
            process.wait(30)


def _wait(server: Server) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            urllib.request.urlopen(server.url).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise RuntimeError(f"the page did not start:\n{(server.temporary / 'log').read_text()}")


@contextmanager
def running_browser() -> "Iterator[Browser]":
    """A headless Chromium; skips the test where there is none."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        pytest.skip(f"needs a browser, one of {', '.join(_CHROMIUM)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


class Visits:
    """Opens pages of a server, each as a new visitor, and records their errors.

    Args:
        browser: of `running_browser`.
        server: whose page is opened.
        ready: selector of an element that exists when the page can be used.
    """

    def __init__(self, browser: "Browser", server: Server, ready: str):
        self.browser = browser
        self.server = server
        self.ready = ready
        self.pages: list[Page] = []
        self.requests: list[str] = []
        self.problems: list[str] = []

    def __call__(self, **viewport: int) -> "Page":
        page = self.browser.new_context(viewport=viewport or None).new_page()
        self.pages.append(page)
        page.on("console", self._note_error)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._note_request)
        page.goto(self.server.url)
        page.wait_for_selector(self.ready)
        return page

    def close(self) -> None:
        """Close all pages."""
        for page in self.pages:
            page.context.close()

    def _note_error(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def _note_request(self, request: "Request") -> None:
        self.requests.append(request.url)
        if not request.url.startswith((self.server.url, "data:", "blob:")):
            self.problems.append(f"asked {request.url}")
