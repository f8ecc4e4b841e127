"""A Hub of one process on 127.0.0.1: enough of its API to push repositories and load them by id.

Everything is kept in memory. Weights go the way of large files (LFS), everything else goes into
the commit itself; what a repository has already is named by its digest, as the Hub does it, so that
clients do not send it again.
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]  # path -> content


@dataclass
class Hub:
    """What a running Hub holds; a Space's name is "spaces/USER/NAME"."""

    repositories: dict[str, list[Files]] = field(default_factory=dict)  # files after each commit
    private: set[str] = field(default_factory=set)
    large_files: dict[str, bytes] = field(default_factory=dict)  # SHA-256 -> content
    requests: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)  # paths of commits and names of large files
    refused_tokens: set[str] = field(default_factory=set)
    invalid_cards: bool = False
    breaks_at_commit: bool = False
    url: str = ""

    def files(self, name: str) -> Files:
        """The newest files of a repository."""
        return self.repositories[name][-1]

    def revisions(self, name: str) -> list[str]:
        """Hashes of its commits, the oldest first."""
        return [
            hashlib.sha1(f"{name} {index}".encode()).hexdigest()
            for index in range(len(self.repositories[name]))
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        return self.server.hub

    def log_message(self, *args):
        pass

    def do_POST(self):
        body, words = self._begin()
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if words[1:] == ["validate-yaml"]:
            self._validate()
        elif token in self.hub.refused_tokens:
            self._answer({"error": "Invalid username or password."}, 401)
        elif words[1:] == ["repos", "create"]:
            self._create(json.loads(body))
        elif words[-1] == "batch":
            self._list_large_files(json.loads(body)["objects"])
        elif words[4] == "preupload":
            self._compare(_name(words), json.loads(body)["files"])
        elif words[4] == "commit":
            self._commit(_name(words), [json.loads(line) for line in body.splitlines()])
        else:
            self._missing("RepoNotFound")

    def do_PUT(self):
        body, (_, digest) = self._begin()
        self.hub.large_files[digest] = body
        self.hub.sent.append(digest)
        self._answer({})

    def do_GET(self):
        _, words = self._begin()
        if words[:2] == ["api", "whoami-v2"]:
            auth = {"accessToken": {"role": "write"}}
            self._answer({"name": "tester", "type": "user", "orgs": [], "auth": auth})
        elif words[0] == "api" and words[1] in ("models", "spaces"):
            self._describe(_name(words), words[4:])
        elif "resolve" in words:
            at = words.index("resolve")
            self._send("/".join(words[:at]), words[at + 1], "/".join(words[at + 2 :]))
        else:
            self._missing("EntryNotFound")

    do_HEAD = do_GET  # noqa: N815

    def _begin(self) -> tuple[bytes, list[str]]:
        """The body and the words of the path."""
        self.hub.requests.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return body, unquote(urlsplit(self.path).path).strip("/").split("/")

    def _validate(self):
        if self.hub.invalid_cards:
            self._answer({"errors": [{"message": '"license" is not allowed'}]}, 400)
        else:
            self._answer({"errors": [], "warnings": []})

    def _create(self, wanted: dict):
        name = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
        if wanted.get("type") == "space":
            name = f"spaces/{name}"
        known = name in self.hub.repositories
        if not known:
            self.hub.repositories[name] = [{}]
            if wanted.get("visibility") == "private":
                self.hub.private.add(name)
        self._answer({"url": f"{self.hub.url}/{name}", "id": name}, 409 if known else 200)

    def _compare(self, name: str, sent: list[dict]):
        files = self.hub.files(name)
        self._answer(
            {
                "files": [
                    {
                        "path": path,
                        "uploadMode": "lfs" if _is_large(path) else "regular",
                        "shouldIgnore": False,
                        "oid": _digest(path, files[path]) if path in files else None,
                    }
                    for path in (file["path"] for file in sent)
                ]
            }
        )

    def _list_large_files(self, objects: list[dict]):
        def action(digest: str) -> dict:
            if digest in self.hub.large_files:
                return {}
            return {"actions": {"upload": {"href": f"{self.hub.url}/large/{digest}"}}}

        self._answer({"objects": [{**entry, **action(entry["oid"])} for entry in objects]})

    def _commit(self, name: str, lines: list[dict]):
        if self.hub.breaks_at_commit:
            self._answer({"error": "out of order"}, 500)
            return
        files = dict(self.hub.files(name))
        for kind, value in ((line["key"], line["value"]) for line in lines):
            if kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
                self.hub.sent.append(value["path"])
            elif kind == "lfsFile":
                files[value["path"]] = self.hub.large_files[value["oid"]]
            elif kind == "deletedFile":
                del files[value["path"]]
        self.hub.repositories[name].append(files)
        revision = self.hub.revisions(name)[-1]
        url = f"{self.hub.url}/{name}/commit/{revision}"
        self._answer({"success": True, "commitOid": revision, "commitUrl": url})

    def _describe(self, name: str, part: list[str]):
        found = self._find(name, part[1] if part else "main")
        if found is None:
            return
        files, revision = found
        if part[:1] == ["tree"]:
            entry = {"type": "file"}
            self._answer(
                [
                    {**entry, "path": path, "size": len(content), "oid": _digest(path, content)}
                    for path, content in files.items()
                ]
            )
        else:
            siblings = [{"rfilename": path} for path in files]
            about = {"id": name.removeprefix("spaces/"), "private": name in self.hub.private}
            self._answer({**about, "sha": revision, "siblings": siblings, "tags": []})

    def _send(self, name: str, revision: str, path: str):
        found = self._find(name, revision)
        if found is None:
            return
        files, commit = found
        if path not in files:
            self._missing("EntryNotFound")
            return
        etag = f'"{_digest(path, files[path])}"'
        self._write(200, files[path], {"X-Repo-Commit": commit, "ETag": etag})

    def _find(self, name: str, revision: str) -> tuple[Files, str] | None:
        """Files and commit of a revision; answers the client itself where there are none."""
        if name not in self.hub.repositories:
            self._missing("RepoNotFound")
            return None
        revisions = self.hub.revisions(name)
        commit = revisions[-1] if revision == "main" else revision
        if commit not in revisions:
            self._missing("RevisionNotFound")
            return None
        return self.hub.repositories[name][revisions.index(commit)], commit

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


def _name(words: list[str]) -> str:
    """Name of the repository that a path of the API is about: ["api", kind, user, name, ...]."""
    return "/".join(words[2:4] if words[1] == "models" else words[1:4])


def _is_large(path: str) -> bool:
    return path.endswith(".safetensors")


def _digest(path: str, content: bytes) -> str:
    """What the Hub calls the content: SHA-256 of large files, else what git calls it."""
    if _is_large(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Yields a new Hub, which answers at its `url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = Hub(url=f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()


def run_python(
    *arguments, hub: str, folder: Path, python: str | Path = sys.executable, **environment
) -> subprocess.CompletedProcess:
    """Run Python in a fresh process that has a home in `folder` and knows only the Hub at `hub`.

    Args:
        *arguments: of the command line.
        hub: URL of the Hub.
        folder: where the process runs.
        python: the interpreter.
        **environment: further variables of the environment by name; None removes one.
    """
    inherited = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "PYTHONPATH")}
    given = {
        "HF_ENDPOINT": hub,
        "HF_HOME": str(folder / "home"),
        "HF_TOKEN": "hf_x",
        "HF_HUB_DISABLE_XET": "1",
        **environment,
    }
    return subprocess.run(
        [str(python), *map(str, arguments)],
        cwd=folder,
        env={k: v for k, v in {**inherited, **given}.items() if v is not None},
        capture_output=True,
        text=True,
    )
