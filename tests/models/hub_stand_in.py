"""A hub on the loopback: repositories at commits, gates, redirects, ranges and errors as the real one answers."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".bin", ".h5", ".msgpack", ".gguf", ".onnx")
_API = re.compile(r"/api/models/(?P<id>[^/]+(?:/[^/]+)?)/revision/(?P<revision>[^/]+)")
_FILE = re.compile(r"/(?P<id>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<name>.+)")


@dataclass(frozen=True)
class Request:
    """One request, as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class Repository:
    """Files by commit, and the commits of branches and tags."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    access: str = "public"


class HubStandIn:
    """The server, within `with`; `log` has the requests, and the other attributes are how it misbehaves."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.log: list[Request] = []
        self.answer: tuple[int, dict[str, str]] | None = None
        """Status and headers for every request."""
        self.silent_for = 0.0
        self.over = threading.Event()
        self.cuts: list[int] = []
        """For each of the next downloads of a large file, after how many bytes the connection breaks off."""
        stand_in = self

        class Handler(_Handler):
            hub = stand_in

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def add(
        self, repository: str, directory: Path, commit: str, *references: str, access: str = "public", **more: str
    ) -> None:
        """Commit the files of a directory, and `more` small ones; `references` point to the commit from now on."""
        files = {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
        self.commit(repository, files | {name: text.encode() for name, text in more.items()}, commit, *references)
        self.repositories[repository].access = access

    def commit(self, repository: str, files: dict[str, bytes], commit: str, *references: str) -> None:
        """Commit files, given by name; `references` point to the commit from now on."""
        store = self.repositories.setdefault(repository, Repository())
        store.commits[commit] = files
        store.references |= dict.fromkeys(references, commit)

    def files_asked(self) -> list[str]:
        """Names of the files that were asked for, in order: each begins with one HEAD."""
        found = [_FILE.fullmatch(request.path) for request in self.log if request.method == "HEAD"]
        return [unquote(match["name"]) for match in found if match]

    def __enter__(self) -> HubStandIn:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()  # waits for its threads: none is at work in a later test


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, but for a client that is gone: some tests are about clients that give up waiting."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    hub: HubStandIn

    def do_GET(self) -> None:
        hub = self.hub
        url = urlsplit(self.path)
        hub.log.append(Request(self.command, url.path, {key.lower(): value for key, value in self.headers.items()}))
        hub.over.wait(hub.silent_for)
        if hub.answer is not None:
            return self._error(*hub.answer)
        if url.path.startswith("/cdn/"):
            return self._large(url.path)
        match = _API.fullmatch(url.path) or _FILE.fullmatch(url.path)
        if match is None:
            return self._error(404)
        new = hub.renamed.get(match["id"])
        if new is not None:
            moved = self.path.replace(match["id"], new, 1)
            return self._send(307, b"", {"Location": moved})
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in hub.tokens:
            return self._error(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        repository = hub.repositories.get(match["id"])
        if repository is None or (repository.access == "private" and not token):
            # To those without a token, a model that is not there looks like one that they may not see.
            return self._error(404, {"X-Error-Code": "RepoNotFound"}) if token else self._error(401)
        revision = unquote(match["revision"])
        commit = repository.references.get(revision, revision)
        if commit not in repository.commits:
            return self._error(404, {"X-Error-Code": "RevisionNotFound"})
        files = repository.commits[commit]
        if "name" not in match.groupdict():
            sized = "blobs" in parse_qs(url.query)
            siblings = [
                {"rfilename": name, **({"size": len(content)} if sized else {})} for name, content in files.items()
            ]
            about = {"id": match["id"], "modelId": match["id"], "sha": commit, "siblings": siblings, "tags": []}
            return self._send(200, json.dumps(about).encode(), {"Content-Type": "application/json"})
        if repository.access == "gated":
            return self._error(403 if token else 401, {"X-Error-Code": "GatedRepo"})
        name = unquote(match["name"])
        if name not in files:
            return self._error(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        content = files[name]
        if not name.endswith(LARGE):
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            return self._send(200, content, {"ETag": etag, "X-Repo-Commit": commit})
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content)), "X-Repo-Commit": commit}
        # Another host, to which no token may be sent.
        place = f"http://localhost:{hub.port}/cdn/{sha256}?Signature=SIGNED"
        return self._send(302, b"", {"Location": place, **headers})

    do_HEAD = do_GET

    def _large(self, path: str) -> None:
        every = [
            content
            for repository in self.hub.repositories.values()
            for files in repository.commits.values()
            for content in files.values()
        ]
        content = next(one for one in every if path.endswith(hashlib.sha256(one).hexdigest()))
        headers = {"ETag": f'"{path.rsplit("/", 1)[1]}"', "Accept-Ranges": "bytes"}
        start, status = 0, 200
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked:
            start, status = int(asked[1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = self.hub.cuts.pop(0) if self.hub.cuts else None
        self._send(status, content[start:], headers, cut)

    def _error(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, b'{"error": "no"}', {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])

    def log_message(self, format: str, *args: object) -> None:
        pass
