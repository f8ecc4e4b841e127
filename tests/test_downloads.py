"""Pictures from the web: what is fetched, and what is refused."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from conftest import make_picture
from picture_checks import assert_same, encoded, refusal

from scsnet_hf.image_io import load_picture

PICTURE = make_picture(24, 17)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content = {"/picture.png": encoded(PICTURE), "/page.html": b"<html>"}.get(self.path)
        self.send_response(404 if content is None else 200)
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with HTTPServer(("127.0.0.1", 0), _Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_url_is_read(server):
    assert_same(load_picture(f"{server}/picture.png"), PICTURE)


def test_url_that_is_not_there_is_refused_by_name(server):
    message = refusal(f"{server}/nothing.png")
    assert f"{server}/nothing.png" in message
    assert "404" in message


def test_url_of_a_page_is_refused_by_name(server):
    assert f"{server}/page.html: is not a picture" in refusal(f"{server}/page.html")


def test_url_with_a_space_is_refused_by_name(server):
    assert f"{server}/a b.png" in refusal(f"{server}/a b.png")


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:port/a.png", "http://127.0.0.1:1/a"])
def test_url_without_a_server_is_refused_by_name(url):
    assert refusal(url).startswith(url)
