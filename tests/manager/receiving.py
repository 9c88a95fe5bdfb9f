"""A subscriber on 127.0.0.1 that keeps its connections, and answers as a test has planned."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, cast


class Told(NamedTuple):
    """A request."""

    path: str
    headers: dict[str, str]
    """their names in lower case"""
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


class Receiver:
    """The server, from `with` to the end of the block.

    Attributes:
        told: the requests that were answered by a 2xx, oldest first.
        seen: all requests.
        answer: given a request, returns the status, or status and headers; None to hang until the end.
    """

    def __init__(
        self, answer: Callable[[Told], Any] = lambda _: 204, address: str = "127.0.0.1"
    ) -> None:
        self.told: list[Told] = []
        self.seen: list[Told] = []
        self.answer = answer
        self.closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                receiver._handle(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Receiver:  # noqa: PYI034 - typing.Self is newer than Python 3.10
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://{self._server.server_address[0]!s}:{self.port}/hook"

    @property
    def port(self) -> int:
        return self._server.server_port

    def names(self, job_uuid: str | None = None) -> list[str]:
        """Return the events that were told, of one job or of all."""
        bodies = [request.body for request in [*self.told]]
        return [b["event"] for b in bodies if job_uuid in (None, b["job_uuid"])]

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers["Content-Length"])
        content = handler.rfile.read(length)
        if len(content) < length:
            # its sender was killed
            handler.close_connection = True
            return
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Told(handler.path, headers, content)
        self.seen.append(request)
        planned = self.answer(request)
        if planned is None:
            self.closing.wait(300)
            handler.close_connection = True
            return
        status, more = planned if isinstance(planned, tuple) else (planned, {})
        if 200 <= status < 300:
            self.told.append(request)
        handler.send_response(status)
        for name, value in cast("dict[str, str]", more).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)
