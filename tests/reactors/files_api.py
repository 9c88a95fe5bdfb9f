"""Storage systems behind the files API of a tenant, on 127.0.0.1: real HTTP, in memory.

with FilesApi() as api:
    api.put("data-sd2e", "/uploads/a.txt", b"content")
    client = make_client(api.environ)

It knows what `reactors.agaveutils` asks for: make a directory, upload, download, list, tell the
history of a file, grant a permission. A path that is not there is answered with 404.
"""

from __future__ import annotations

import json
import posixpath
import re
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, cast, final
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "access-token-of-the-tests"
_PATH = re.compile(r"/files/v2/(media|listings|history|pems)/system/([^/]+)/(.*)")
_UPLOAD = re.compile(rb'filename="([^"]+)".*?\r\n\r\n(.*)\r\n--', re.DOTALL)
_PART_BYTES = 16 * 1024 * 1024
MOST = 100
"""How many entries the platform lists at once."""


class Reply(NamedTuple):
    status: int
    result: Any = None
    content: bytes | None = None
    """instead of JSON"""


@final
class FilesApi:
    """The server, from `with` to the end of the block.

    Attributes:
        files: what there is, by `system:/path`; None for a directory.
        histories: the statuses of a path, oldest first, one more of them each time it is asked.
        grants: `(path, body)` of each permission that was granted.
        requests: method and path of each request, as they were sent.
        failing: how each request is answered whose path has the key in it.
        pause: seconds before each 16 MiB of a body are read.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes | None] = {}
        self.histories: dict[str, list[str]] = defaultdict(lambda: ["CREATED"])
        self.grants: list[tuple[str, dict[str, Any]]] = []
        self.requests: list[tuple[str, str]] = []
        self.failing: dict[str, Reply] = {}
        self.pause = 0.0
        self._asked: dict[str, int] = defaultdict(int)
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> FilesApi:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def environ(self) -> dict[str, str]:
        """What the platform tells an actor about itself."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {"_abaco_api_server": url, "_abaco_access_token": TOKEN}

    def put(self, system: str, path: str, content: bytes | None = None) -> None:
        """Make a file, or a directory, and the directories above it."""
        self.files[f"{system}:{path}"] = content
        while (path := posixpath.dirname(path)) != "/":
            self.files.setdefault(f"{system}:{path}", None)

    def answer(self, method: str, target: str, content_type: str, body: bytes) -> Reply:
        self.requests.append((method, target))
        parts = urlsplit(target)
        for text, reply in self.failing.items():
            if text in unquote(parts.path):
                return reply
        found = _PATH.fullmatch(parts.path)
        if found is None:
            return Reply(404)
        service, system, path = found[1], unquote(found[2]), f"/{unquote(found[3])}"
        if method == "PUT":
            self.put(system, posixpath.normpath(f"{path.rstrip('/')}/{json.loads(body)['path']}"))
            return Reply(200, {})
        place = f"{system}:{path}"
        if place not in self.files:
            return Reply(404)
        if method == "POST" and service == "media":
            upload = _UPLOAD.search(body)
            assert content_type.startswith("multipart/form-data")
            assert upload is not None
            self.put(system, posixpath.join(path, upload[1].decode()), upload[2])
            return Reply(202, {})
        if method == "POST":
            self.grants.append((path, json.loads(body)))
            return Reply(200, {})
        if service == "media":
            content = self.files[place]
            return Reply(200, content=content) if content is not None else Reply(400)
        if service == "history":
            return Reply(200, self._history(place))
        return Reply(200, self._list(system, path, parse_qs(parts.query)))

    def _history(self, place: str) -> list[dict[str, str]]:
        self._asked[place] += 1
        statuses = self.histories[place][: self._asked[place]]
        return [
            {"status": status, "created": f"2026-11-23T10:00:0{number}.000-06:00"}
            for number, status in enumerate(statuses)
        ]

    def _list(self, system: str, path: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        place = f"{system}:{path}"
        if self.files[place] is not None:
            return [{"name": posixpath.basename(path), "path": path, "type": "file"}]
        entries = [{"name": ".", "path": path, "type": "dir"}]
        for name in sorted(self.files):
            inner = name.removeprefix(f"{system}:")
            if name.startswith(f"{system}:") and posixpath.dirname(inner) == path:
                kind = "dir" if self.files[name] is None else "file"
                entries.append({"name": posixpath.basename(inner), "path": inner, "type": kind})
        offset = int(query.get("offset", ["0"])[0])
        return entries[offset : offset + min(MOST, int(query.get("limit", [str(MOST)])[0]))]


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, api: FilesApi) -> None:
        self.api = api
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        api = cast("_Server", self.server).api
        left, body = int(self.headers.get("Content-Length") or 0), b""
        while left > len(body):
            time.sleep(api.pause)
            body += self.rfile.read(min(_PART_BYTES, left - len(body)))
        reply = Reply(401)
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            content_type = self.headers.get("Content-Type") or ""
            reply = api.answer(self.command, self.path, content_type, body)
        good = reply.status < 300
        envelope = {
            "status": "success" if good else "error",
            "message": None if good else "as the platform says",
            "result": reply.result,
            "version": "2.4.0",
        }
        content = json.dumps(envelope).encode() if reply.content is None else reply.content
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass
