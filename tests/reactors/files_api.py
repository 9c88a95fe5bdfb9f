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
from collections import defaultdict
from typing import Any, NamedTuple, final
from urllib.parse import unquote

from tests import loopback
from tests.loopback import Loopback, Request, envelope

_PATH = re.compile(r"/files/v2/(media|listings|history|pems)/system/([^/]+)/(.*)")
_UPLOAD = re.compile(rb'filename="([^"]+)".*?\r\n\r\n(.*)\r\n--', re.DOTALL)
MOST = 100
"""How many entries the platform lists at once."""


class Reply(NamedTuple):
    status: int
    result: Any = None
    content: bytes | None = None
    """instead of JSON"""


@final
class FilesApi(Loopback):
    """The server, from `with` to the end of the block.

    Attributes:
        files: what there is, by `system:/path`; None for a directory.
        histories: the statuses of a path, oldest first, one more of them each time it is asked.
        grants: `(path, body)` of each permission that was granted.
        requests: method and path of each request, as they were sent.
        failing: how each request is answered whose path has the key in it.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes | None] = {}
        self.histories: dict[str, list[str]] = defaultdict(lambda: ["CREATED"])
        self.grants: list[tuple[str, dict[str, Any]]] = []
        self.requests: list[tuple[str, str]] = []
        self.failing: dict[str, Reply] = {}
        self._asked: dict[str, int] = defaultdict(int)
        super().__init__(is_known=True)

    def put(self, system: str, path: str, content: bytes | None = None) -> None:
        """Make a file, or a directory, and the directories above it."""
        self.files[f"{system}:{path}"] = content
        while (path := posixpath.dirname(path)) != "/":
            self.files.setdefault(f"{system}:{path}", None)

    def answer(self, request: Request) -> loopback.Reply:
        reply = self._answer(request) if request.is_authorized else Reply(401)
        if reply.content is not None:
            return loopback.Reply(reply.status, reply.content)
        message = None if reply.status < 300 else "as the platform says"
        return envelope(reply.status, reply.result, message)

    def _answer(self, request: Request) -> Reply:
        self.requests.append((request.method, request.target))
        method, body = request.method, request.content
        for text, reply in self.failing.items():
            if text in unquote(request.path):
                return reply
        found = _PATH.fullmatch(request.path)
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
            assert request.headers["content-type"].startswith("multipart/form-data")
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
        return Reply(200, self._list(system, path, request.query))

    def _history(self, place: str) -> list[dict[str, str]]:
        self._asked[place] += 1
        statuses = self.histories[place][: self._asked[place]]
        return [
            {"status": status, "created": f"2026-11-23T10:00:0{number}.000-06:00"}
            for number, status in enumerate(statuses)
        ]

    def _list(self, system: str, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        place = f"{system}:{path}"
        if self.files[place] is not None:
            return [{"name": posixpath.basename(path), "path": path, "type": "file"}]
        entries = [{"name": ".", "path": path, "type": "dir"}]
        for name in sorted(self.files):
            inner = name.removeprefix(f"{system}:")
            if name.startswith(f"{system}:") and posixpath.dirname(inner) == path:
                kind = "dir" if self.files[name] is None else "file"
                entries.append({"name": posixpath.basename(inner), "path": inner, "type": kind})
        offset = int(query.get("offset", 0))
        return entries[offset : offset + min(MOST, int(query.get("limit", MOST)))]
