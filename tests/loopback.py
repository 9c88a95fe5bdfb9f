"""A server on 127.0.0.1 for what the code sends: real HTTP, from `with` to the end of the block.

class Echo(Loopback):
    def answer(self, request):
        return Reply(200, request.content)

with Echo() as echo:
    httpx.post(echo.url, content=b"tacos")
"""

from __future__ import annotations

import contextlib
import json
import threading
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

Self = TypeVar("Self", bound="Loopback")
TOKEN = "access-token-of-the-tests"


class Request(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    """without the query, percent-encoded as it was sent"""
    query: dict[str, str]
    """the first value of each parameter"""
    headers: dict[str, str]
    """their names in lower case"""
    content: bytes
    target: str
    """the path and the query as they were sent"""

    @property
    def body(self) -> Any:
        """The JSON value; the text if it is not JSON, None if it is empty."""
        try:
            return json.loads(self.content) if self.content else None
        except json.JSONDecodeError:
            return self.content.decode()

    @property
    def is_authorized(self) -> bool:
        """Whether it has the access token of the tests."""
        return self.headers.get("authorization") == f"Bearer {TOKEN}"


class Reply(NamedTuple):
    """What a request is answered."""

    status: int = 200
    content: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def envelope(
    status: int, result: Any = None, message: str | None = None, version: str = ":dev"
) -> Reply:
    """Return a reply as the platform wraps it."""
    content = {
        "status": "success" if status < 300 else "error",
        "message": message,
        "result": result,
        "version": version,
    }
    return Reply(status, json.dumps(content).encode())


_PORTS: list[int] = []
"""Of known servers that have ended: for the next ones."""


class Loopback(ABC):
    """The server; what it answers, its subclass says.

    Args:
        is_known: whether it listens where one before it did, so that a client of the platform
            has its description of the API ready, which takes a tenth of a second to make.
    """

    pause = 0.0
    """seconds before each 16 MiB of a body are read"""

    def __init__(self, *, is_known: bool = False) -> None:
        self.closing = threading.Event()
        """is set when the block ends, so that nobody needs to wait any longer"""
        self._is_known = is_known
        self._server = _Server(self, _PORTS.pop() if is_known and _PORTS else 0)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @abstractmethod
    def answer(self, request: Request) -> Reply | None:
        """Return the reply to a request; None for a connection that is closed without one."""

    def __enter__(self: Self) -> Self:  # noqa: PYI019 - typing.Self is newer than Python 3.10
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self._is_known:
            _PORTS.append(self._server.server_port)

    @property
    def url(self) -> str:
        """The base URL, with the port."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environ(self) -> dict[str, str]:
        """What the platform tells an actor about this server."""
        return {"_abaco_api_server": self.url, "_abaco_access_token": TOKEN}


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close waits for them and their sockets

    def __init__(self, loopback: Loopback, port: int) -> None:
        self.loopback = loopback
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        try:
            self._listen(port)
        except OSError:
            # another program has taken it meanwhile
            self._listen(0)

    def _listen(self, port: int) -> None:
        self.server_address = (self.server_address[0], port)
        self.server_bind()
        self.server_activate()


class _Handler(BaseHTTPRequestHandler):
    """One request a connection: that is what HTTP/1.0, the default of the base class, means."""

    def _handle(self) -> None:
        loopback = cast("_Server", self.server).loopback
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        request = Request(
            self.command,
            parts.path,
            {name: values[0] for name, values in query.items()},
            {name.lower(): value for name, value in self.headers.items()},
            self._read(loopback),
            self.path,
        )
        reply = loopback.answer(request)
        if reply is None:
            return
        with contextlib.suppress(ConnectionError):  # whoever asked has given up, or was killed
            self.send_response(reply.status)
            for name, text in reply.headers:
                self.send_header(name, text)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - what the base class looks for

    def _read(self, loopback: Loopback) -> bytes:
        left, body = int(self.headers.get("Content-Length") or 0), b""
        while left > len(body):
            loopback.closing.wait(loopback.pause)
            body += self.rfile.read(min(16 * 1024 * 1024, left - len(body)))
        return body

    def log_message(self, *_: Any) -> None:
        pass
