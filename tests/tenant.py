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

import re
from collections import deque
from typing import NamedTuple, final

from tests.loopback import Loopback, Reply, Request, envelope

_MESSAGES = re.compile(r"/actors/v2/[^/]+/messages")
_HISTORY = re.compile(r"/jobs/v2/[^/]+/history")


class Answer(NamedTuple):
    """How a request is answered that was planned for."""

    status: int = 200
    delay: float = 0
    """seconds before anything is answered"""
    body: bytes | None = None
    """instead of the platform's envelope"""


@final
class Tenant(Loopback):
    """The server, from `with` to the end of the block.

    Attributes:
        requests: what has arrived, in its order.
        history: what every job's history is: `{"created", "status", "description"}` each.
        result: what a synchronous message is answered, which has no envelope.
    """

    def __init__(self, *, is_known: bool = False) -> None:
        self.requests: list[Request] = []
        self.history: list[dict[str, str]] = []
        self.result = b"what the other actor has sent"
        self._plan: deque[Answer] = deque()
        self._executions = 0
        super().__init__(is_known=is_known)

    @property
    def messages(self) -> list[Request]:
        """The messages to actors among the requests."""
        return [request for request in self.requests if _MESSAGES.fullmatch(request.path)]

    def plan(self, *answers: int | Answer) -> None:
        """Answer the next requests so (a number is a status), and the later ones as usual."""
        self._plan.extend(a if isinstance(a, Answer) else Answer(a) for a in answers)

    def answer(self, request: Request) -> Reply | None:
        self.requests.append(request)
        planned = self._plan.popleft() if self._plan else Answer()
        if planned.delay and self.closing.wait(planned.delay):
            return None
        if planned.body is not None:
            return Reply(planned.status, planned.body, "text/html")
        if planned.status != Answer().status:
            return envelope(planned.status, message="as planned")
        return self._usual(request)

    def _usual(self, request: Request) -> Reply:
        bearer = request.headers.get("authorization", "").startswith("Bearer ")
        if not bearer and not request.query.get("x-nonce"):
            return envelope(400, message="No JWT or nonce provided.")
        if request.method == "POST" and _MESSAGES.fullmatch(request.path):
            if request.query.get("_abaco_synchronous", "").lower() == "true":
                return Reply(200, self.result, "application/octet-stream")
            self._executions += 1
            named = request.body.get("message") if isinstance(request.body, dict) else None
            result = {
                "executionId": f"execution-{self._executions}",
                "msg": str(named) if named else request.body,
            }
            return envelope(200, result, "The request was successful")
        if request.method == "GET" and _HISTORY.fullmatch(request.path):
            return envelope(200, self.history)
        return envelope(404, message="there is no such thing here")
