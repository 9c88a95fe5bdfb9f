"""A storage system behind the platform's files API, on 127.0.0.1: real HTTP, in memory."""

from __future__ import annotations

import posixpath
import re
import threading
from typing import Any, NamedTuple, final
from urllib.parse import unquote

from tests import loopback
from tests.loopback import Loopback, Request, envelope

_SYSTEMS = "/systems/v2/"
ROOT = "/projects/tacos"
"""Where all storage systems begin on the machines that they are mounted on."""
_MEDIA, _LISTINGS = "/files/v2/media/system/", "/files/v2/listings/system/"
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
MODIFIED = "2020-01-02T03:04:05.678-06:00"


class Reply(NamedTuple):
    """What a request is answered."""

    status: int
    result: Any = None
    """in the platform's envelope; bytes go without"""
    headers: tuple[tuple[str, str], ...] = ()


@final
class Storage(Loopback):
    """The server, from `with` to the end of the block.

    Attributes:
        paths: what there is, files and directories, each as `system:/path`.
        contents: of files, by the same names; what else is listed is a directory.
        requests: how many have arrived.
        failing: the status that every request is answered, if it is set.
        fails_at: what is in the paths of those requests.
        vanished: directories that are listed above, and are gone when they are asked for.
        unreadable: files whose content is refused.
        most_entries: how many entries a listing has at most, whatever was asked for.
        knows_ranges: whether a part of a file can be asked for.
        held: while it is set, files are not given before it is released.
        parts: how long the parts of files were that have been sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.empty()

    def empty(self) -> None:
        """Be as at first."""
        self.paths: set[str] = set()
        self.contents: dict[str, bytes] = {}
        self.requests = 0
        self.failing: int | None = None
        self.fails_at = ""
        self.vanished: set[str] = set()
        self.unreadable: set[str] = set()
        self.most_entries = 1000
        self.knows_ranges = True
        self.held: threading.Event | None = None
        self.parts: list[int] = []

    def put(self, place: str, content: bytes = b"") -> None:
        """Put a file, with the directories above it."""
        system, _, path = place.partition(":")
        self.contents[place] = content
        while path != "/":
            self.paths.add(f"{system}:{path}")
            path = posixpath.dirname(path)

    def answer(self, request: Request) -> loopback.Reply:
        reply = self._handle(request) if request.is_authorized else Reply(401)
        if isinstance(reply.result, bytes):
            return loopback.Reply(reply.status, reply.result, headers=reply.headers)
        return envelope(reply.status, reply.result or {})

    def _handle(self, request: Request) -> Reply:
        self.requests += 1
        if self.failing and self.fails_at in request.path:
            return Reply(self.failing)
        method, body, place = request.method, request.body, unquote(request.path)
        if method == "GET" and place.startswith(_LISTINGS):
            return self._list(*_split(place, _LISTINGS), request.query)
        if method == "GET" and place.startswith(_SYSTEMS):
            return Reply(200, {"storage": {"rootDir": ROOT}})
        system, path = _split(place, _MEDIA)
        if method == "GET":
            return self._read(f"{system}:{path}", request.headers.get("range"))
        if method == "PUT" and body.get("action") == "mkdir":
            made = _normal(f"{path}/{body['path']}")
            while made != "/":
                self.paths.add(f"{system}:{made}")
                made = posixpath.dirname(made)
            return Reply(200)
        if method == "DELETE":
            root = f"{system}:{path}"
            gone = {name for name in self.paths if name == root or name.startswith(f"{root}/")}
            self.paths -= gone
            return Reply(200 if gone else 404)
        return Reply(400)

    def _list(self, system: str, path: str, query: dict[str, str]) -> Reply:
        place = f"{system}:{path}"
        if place not in self.paths - self.vanished:
            return Reply(404)
        entries = [self._entry(place, posixpath.basename(path))]
        if place not in self.contents:
            entries[0]["name"] = "."
            inside = sorted(name for name in self.paths if posixpath.dirname(name) == place)
            entries += [self._entry(name, posixpath.basename(name)) for name in inside]
        offset = int(query["offset"])
        most = min(int(query["limit"]), self.most_entries)
        return Reply(200, entries[offset : offset + most])

    def _entry(self, place: str, name: str) -> dict[str, Any]:
        system, _, path = place.partition(":")
        is_file = place in self.contents
        return {
            "name": name,
            "path": path,
            "length": len(self.contents[place]) if is_file else 4096,
            "type": "file" if is_file else "dir",
            "format": "raw" if is_file else "folder",
            "lastModified": MODIFIED,
            "system": system,
        }

    def _read(self, place: str, wanted: str | None) -> Reply:
        if self.held is not None:
            self.held.wait(60)
        if place in self.unreadable:
            return Reply(403)
        if place not in self.contents:
            return Reply(404)
        content = self.contents[place]
        part = _RANGE.fullmatch(wanted or "")
        if part is None or not self.knows_ranges:
            self.parts.append(len(content))
            return Reply(200, content)
        first = int(part[1])
        chosen = content[first : int(part[2]) + 1]
        if not chosen:
            return Reply(416)
        self.parts.append(len(chosen))
        header = f"bytes {first}-{first + len(chosen) - 1}/{len(content)}"
        return Reply(206, chosen, (("Content-Range", header),))


def _split(place: str, prefix: str) -> tuple[str, str]:
    system, _, path = place.removeprefix(prefix).partition("/")
    return system, _normal(path)


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(f"/{path}").lstrip("/")
