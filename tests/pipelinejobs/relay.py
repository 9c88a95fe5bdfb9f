"""What stands between a sender and the gateway, and does not always do its work."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from tests.abaco.running import SECONDS


class Post(NamedTuple):
    """What was sent."""

    path: str
    body: bytes


class Fault(NamedTuple):
    """What happens to one request: it is passed on or not, and then answered so, or not at all."""

    is_passed_on: bool
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


LOST = Fault(is_passed_on=False)
"""The request does not arrive, and the connection is closed."""
UNANSWERED = Fault(is_passed_on=True)
"""The request arrives, the answer does not."""


def answer(status: int, body: bytes = b"", *, is_passed_on: bool = False, **headers: str) -> Fault:
    """Return an answer of something else than the gateway."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Fault(is_passed_on, status, named, body)


class Relay:
    """A server that passes requests on, and makes the faults that are planned first."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.faults: deque[Fault] = deque()
        self.posts: list[Post] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def of(self, callback: str) -> str:
        """Return a callback that leads here."""
        parts = urlsplit(callback)
        here = f"127.0.0.1:{self._server.server_address[1]}"
        return parts._replace(scheme="http", netloc=here).geturl()

    def plan(self, *faults: Fault) -> None:
        """Make these faults, one for each request."""
        self.faults.extend(faults)

    def __enter__(self) -> Relay:  # noqa: PYI034 - Self is newer than Python 3.10
        """Serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> Callable[..., BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                relay.posts.append(Post(self.path, body))
                fault = relay.faults.popleft() if relay.faults else None
                if fault is None or fault.is_passed_on:
                    kind = {"Content-Type": self.headers["Content-Type"]}
                    reply = httpx.post(
                        f"{relay._url}{self.path}", content=body, headers=kind, timeout=SECONDS
                    )
                    if fault is None:
                        fault = Fault(True, reply.status_code, (), reply.content)
                if not fault.status:
                    return
                self.send_response(fault.status)
                for name, value in fault.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(fault.body)))
                self.end_headers()
                self.wfile.write(fault.body)

            def log_message(self, *_arguments: object) -> None:
                """Be silent."""

        return Handler
