"""A tenant of the platform on 127.0.0.1: real HTTP, for what the actor sends to the platform.

with Tenant() as tenant:
    rx = Reactor(tenant.environ, folders=[tmp_path])
    tenant.plan(500, Answer(delay=1.5))
    rx.send_message("events-manager", {"a": 1})
    assert tenant.messages[0].body == {"message": {"a": 1}}

It knows two operations of the API, each with the envelope of the platform: a POST to
`/actors/v2/<id>/messages`, and a GET of `/jobs/v2/<id>/history`. Whoever comes without a Bearer
token and without a nonce is refused.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, cast, final
from urllib.parse import parse_qs, urlsplit

import pytest

TOKEN = "access-token-of-the-tests"

# agavepy leaves a file of its own open whenever a client is made
uses_agavepy = pytest.mark.filterwarnings(
    "ignore:unclosed file .*resource_exceptions.json:ResourceWarning"
)

_MESSAGES = re.compile(r"/actors/v2/[^/]+/messages")
_HISTORY = re.compile(r"/jobs/v2/[^/]+/history")


class Request(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    """without the query, percent-encoded as it was sent"""
    query: dict[str, str]
    """the first value of each parameter"""
    headers: dict[str, str]
    """their names in lower case"""
    body: Any
    """the JSON value; a text where it is no JSON, None where it is empty"""


class Answer(NamedTuple):
    """How a request is answered that was planned for."""

    status: int = 200
    delay: float = 0
    """seconds before anything is answered"""
    body: bytes | None = None
    """instead of the platform's envelope"""


@final
class Tenant:
    """The server, from `with` to the end of the block.

    Attributes:
        requests: what has arrived, in its order.
        history: what every job's history is: `{"created", "status", "description"}` each.
        result: what a synchronous message is answered, which has no envelope.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.history: list[dict[str, str]] = []
        self.result = b"what the other actor has sent"
        self._plan: deque[Answer] = deque()
        self._executions = 0
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Tenant:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The base URL, with the port."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environ(self) -> dict[str, str]:
        """What the platform tells an actor about this tenant."""
        return {"_abaco_api_server": self.url, "_abaco_access_token": TOKEN}

    @property
    def messages(self) -> list[Request]:
        """The messages to actors among the requests."""
        return [request for request in self.requests if _MESSAGES.fullmatch(request.path)]

    def plan(self, *answers: int | Answer) -> None:
        """Answer the next requests so (a number is a status), and the later ones as usual."""
        self._plan.extend(a if isinstance(a, Answer) else Answer(a) for a in answers)

    def _answer(self, request: Request) -> tuple[int, str, bytes] | None:
        self.requests.append(request)
        planned = self._plan.popleft() if self._plan else Answer()
        if planned.delay and self._closing.wait(planned.delay):
            return None
        if planned.body is not None:
            return planned.status, "text/html", planned.body
        if planned.status != Answer().status:
            return _envelope(planned.status, "as planned", None)
        return self._usual(request)

    def _usual(self, request: Request) -> tuple[int, str, bytes]:
        bearer = request.headers.get("authorization", "").startswith("Bearer ")
        if not bearer and not request.query.get("x-nonce"):
            return _envelope(400, "No JWT or nonce provided.", None)
        if request.method == "POST" and _MESSAGES.fullmatch(request.path):
            if request.query.get("_abaco_synchronous", "").lower() == "true":
                return 200, "application/octet-stream", self.result
            self._executions += 1
            named = request.body.get("message") if isinstance(request.body, dict) else None
            result = {
                "executionId": f"execution-{self._executions}",
                "msg": str(named) if named else request.body,
            }
            return _envelope(200, "The request was successful", result)
        if request.method == "GET" and _HISTORY.fullmatch(request.path):
            return _envelope(200, None, self.history)
        return _envelope(404, "there is no such thing here", None)


def _envelope(status: int, message: str | None, result: Any) -> tuple[int, str, bytes]:
    content = {
        "message": message,
        "result": result,
        "status": "success" if status == Answer().status else "error",
        "version": ":dev",
    }
    return status, "application/json", json.dumps(content).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close waits for them and their sockets

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """One request a connection: that is what HTTP/1.0, the default of the base class, means."""

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        try:
            body = json.loads(content) if content else None
        except json.JSONDecodeError:
            body = content
        query = parse_qs(parts.query, keep_blank_values=True)
        request = Request(
            self.command,
            parts.path,
            {name: values[0] for name, values in query.items()},
            {name.lower(): value for name, value in self.headers.items()},
            body,
        )
        answer = cast("_Server", self.server).tenant._answer(request)
        if answer is None:
            return
        status, content_type, reply = answer
        with contextlib.suppress(ConnectionError):  # whoever asked has given up
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

    def log_message(self, *_: Any) -> None:
        pass
