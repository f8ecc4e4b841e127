"""Images from the web: which ones are downloaded and which are refused."""

import gzip
import socket
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from helpers.image_checks import assert_same, encoded, refusal
from helpers.images import make_image
from scsnet_hf.image_io import download, is_url, load_image

IMAGE = make_image(24, 17)
COMPRESSED = {
    "/gzip.png": ("gzip", gzip.compress(encoded(IMAGE))),
    "/deflate.png": ("deflate", zlib.compress(encoded(IMAGE))),
    "/identity.png": ("identity", encoded(IMAGE)),
    "/none.png": ("gzip", encoded(IMAGE)),
    "/bomb.png": ("gzip", gzip.compress(bytes(2**24))),
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/to?"):
            self.send_response(int(self.path[4:7]))
            self.send_header("Location", self.path[8:])
            self.end_headers()
        elif self.path in COMPRESSED:
            encoding, content = COMPRESSED[self.path]
            self.send_response(200)
            self.send_header("Content-Encoding", encoding)
            self.end_headers()
            self.wfile.write(content)
        elif self.path == "/slow.png":
            self._answer_slowly()
        else:
            content = {"/image.png": encoded(IMAGE), "/page.html": b"<html>"}.get(self.path)
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

    def _answer_slowly(self):
        """A byte now and then, without end."""
        self.send_response(200)
        self.end_headers()
        try:
            while not self.server.is_done:
                self.wfile.write(b"\x89")
                time.sleep(0.02)
        except OSError:  # the other side has had enough
            pass

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        http.is_done = False
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.is_done = True
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_url_is_read(server):
    assert_same(load_image(f"{server}/image.png"), IMAGE)


@pytest.mark.parametrize("name", ["gzip", "deflate", "identity"])
def test_compressed_answer_is_read(server, name):
    assert_same(load_image(f"{server}/{name}.png"), IMAGE)


def test_wrongly_compressed_answers_are_refused(server):
    assert "could not be fetched" in refusal(f"{server}/none.png")
    with pytest.raises(OSError, match="larger than 1 MiB"):
        download(f"{server}/bomb.png", max_bytes=2**20)


def test_url_that_is_not_there_is_refused_by_name(server):
    message = refusal(f"{server}/nothing.png")
    assert f"{server}/nothing.png" in message
    assert "404" in message


def test_url_of_a_page_is_refused_by_name(server):
    assert f"{server}/page.html: is not an image" in refusal(f"{server}/page.html")


def test_url_with_a_space_is_refused_by_name(server):
    assert f"{server}/a b.png" in refusal(f"{server}/a b.png")


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:port/a.png", "http://127.0.0.1:1/a"])
def test_url_without_a_server_is_refused_by_name(url):
    assert refusal(url).startswith(url)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_to_http_is_followed(server, code):
    assert_same(load_image(f"{server}/to?{code}:{server}/image.png"), IMAGE)


@pytest.mark.parametrize("place", ["file", "ftp", "data", "gopher"])
def test_redirect_to_anything_else_is_refused_by_name(server, tmp_path, place):
    path = tmp_path / "secret.png"
    IMAGE.save(path)
    other = {
        "file": path.as_uri(),
        "ftp": f"ftp://{server[7:]}/image.png",
        "data": "data:image/png;base64,AAAA",
        "gopher": f"gopher://{server[7:]}/image.png",
    }[place]
    url = f"{server}/to?302:{other}"
    message = refusal(url)
    assert message.startswith(url)
    assert "is not allowed" in message or "unknown url type" in message


def test_redirect_to_itself_ends(server):
    url = f"{server}/to?302:/to?302:/to"
    assert refusal(url).startswith(url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/hostname",
        "ftp://127.0.0.1/a.png",
        "data://text/plain,a",
        "s3://bucket/a.png",
        "FILE:///etc/hostname",
    ],
)
def test_other_kinds_of_url_are_refused_by_name(url):
    assert refusal(url) == f"{url}: only http and https URLs are fetched"


@pytest.mark.parametrize("kind", ["HTTP", "Http"])
def test_kind_of_url_may_be_written_in_capitals(server, kind):
    assert_same(load_image(f"{kind}{server[4:]}/image.png"), IMAGE)


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("http://a/b", True),
        ("s3://a/b", True),
        ("a.png", False),
        ("C:/a.png", False),
        ("//server/a.png", False),
        ("a b://c", False),
        ("://a", False),
        ("", False),
    ],
)
def test_url_is_distinguished_from_a_path(source, answer):
    assert is_url(source) == answer


def test_content_beyond_the_limit_is_refused(server):
    size = len(encoded(IMAGE))
    assert len(download(f"{server}/image.png", max_bytes=size)) == size
    with pytest.raises(OSError, match="is larger than"):
        download(f"{server}/image.png", max_bytes=size - 1)


def test_endless_content_is_refused_by_its_size(server):
    with pytest.raises(OSError, match="is larger than"):
        download(f"{server}/slow.png", max_bytes=5)


def test_endless_content_is_refused_by_its_time(server):
    with pytest.raises(OSError, match="took longer than"):
        download(f"{server}/slow.png", max_seconds=0.3)


def test_silence_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.png"
        with pytest.raises(OSError, match="timed out"):
            download(url, max_silence=0.3)
