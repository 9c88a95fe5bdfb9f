"""A storage system behind the platform's files API, on 127.0.0.1: real HTTP, in memory."""

from __future__ import annotations

import json
import posixpath
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, cast, final
from urllib.parse import unquote, urlsplit

TOKEN = "access-token-of-the-tests"
_MEDIA = "/files/v2/media/system/"


@final
class Storage:
    """The server, from `with` to the end of the block.

    Attributes:
        paths: what there is, files and directories, each as `system:/path`.
        requests: how many have arrived.
        failing: the status that every request is answered, if it is set.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.requests = 0
        self.failing: int | None = None
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Storage:
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

    def handle(self, method: str, place: str, body: Any) -> int:
        """Do what a request asks for; return the HTTP status."""
        self.requests += 1
        if self.failing:
            return self.failing
        system, _, path = place.removeprefix(_MEDIA).partition("/")
        path = _normal(path)
        if method == "PUT" and body.get("action") == "mkdir":
            made = _normal(f"{path}/{body['path']}")
            while made != "/":
                self.paths.add(f"{system}:{made}")
                made = posixpath.dirname(made)
            return 200
        if method == "DELETE":
            root = f"{system}:{path}"
            gone = {name for name in self.paths if name == root or name.startswith(f"{root}/")}
            self.paths -= gone
            return 200 if gone else 404
        return 400


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(f"/{path}").lstrip("/")


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = 401
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            storage = cast("_Server", self.server).storage
            body = json.loads(content) if content else {}
            status = storage.handle(self.command, unquote(urlsplit(self.path).path), body)
        reply = json.dumps({"status": "success" if status == 200 else "error", "result": {}})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply.encode())

    def log_message(self, *_: Any) -> None:
        pass
