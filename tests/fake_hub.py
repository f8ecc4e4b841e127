"""A Hub of one process on 127.0.0.1: enough of its API to push repositories and load them by id.

Files are kept whole in memory, one commit per repository: a commit replaces files of the same name.
"""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

Repositories = dict[str, dict[str, bytes]]  # id -> path -> content


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def repositories(self) -> Repositories:
        return self.server.repositories

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        words = urlsplit(self.path).path.strip("/").split("/")
        if words[1:] == ["repos", "create"]:
            self._create(json.loads(body))
        elif words[1:] == ["validate-yaml"]:
            self._answer({"errors": [], "warnings": []})
        elif words[4] == "preupload":
            files = json.loads(body)["files"]
            regular = {"uploadMode": "regular", "shouldIgnore": False}
            self._answer({"files": [{"path": f["path"], **regular} for f in files]})
        elif words[4] == "commit":
            self._commit("/".join(words[2:4]), [json.loads(line) for line in body.splitlines()])
        else:
            self._missing("RepoNotFound")

    def do_GET(self):
        words = unquote(urlsplit(self.path).path).strip("/").split("/")
        if words[:2] == ["api", "whoami-v2"]:
            self._answer({"name": "tester", "type": "user", "orgs": []})
        elif words[:2] == ["api", "models"]:
            self._describe("/".join(words[2:4]), words[4:5])
        elif words[2:3] == ["resolve"]:
            self._send("/".join(words[:2]), "/".join(words[4:]))
        else:
            self._missing("EntryNotFound")

    do_HEAD = do_GET  # noqa: N815

    def _create(self, wanted: dict):
        name = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
        known = name in self.repositories
        self.repositories.setdefault(name, {})
        url = f"http://{self.headers['Host']}/{name}"
        self._answer({"url": url, "id": name, "name": name}, 409 if known else 200)

    def _commit(self, name: str, lines: list[dict]):
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        self.repositories[name].update(files)
        oid = self._revision(name)
        url = f"http://{self.headers['Host']}/{name}/commit/{oid}"
        self._answer({"success": True, "commitOid": oid, "commitUrl": url})

    def _describe(self, name: str, part: list[str]):
        files = self.repositories.get(name)
        if files is None:
            self._missing("RepoNotFound")
        elif part == ["tree"]:
            self._answer(
                [
                    {"type": "file", "path": path, "size": len(content), "oid": _digest(content)}
                    for path, content in files.items()
                ]
            )
        else:
            siblings = [{"rfilename": path} for path in files]
            revision = self._revision(name)
            self._answer({"id": name, "sha": revision, "siblings": siblings, "tags": []})

    def _send(self, name: str, path: str):
        content = self.repositories.get(name, {}).get(path)
        if content is None:
            self._missing("EntryNotFound" if name in self.repositories else "RepoNotFound")
            return
        headers = {"X-Repo-Commit": self._revision(name), "ETag": f'"{_digest(content)}"'}
        self._write(200, content, headers)

    def _revision(self, name: str) -> str:
        files = sorted(self.repositories[name].items())
        return _digest(repr([(path, _digest(content)) for path, content in files]).encode())

    def _answer(self, content, status: int = 200):
        self._write(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _missing(self, code: str):
        self._write(404, b"{}", {"X-Error-Code": code})

    def _write(self, status: int, content: bytes, headers: dict[str, str]):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(content)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def running_hub():
    """Yields the address of a new Hub and its repositories."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.repositories = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.repositories
    finally:
        server.shutdown()
        server.server_close()
