"""The ASGI application: from a request to an endpoint, and from its result to a reply."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import re
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route, Router

from abaco.exceptions import (
    ApiError,
    BadRequest,
    NotAllowed,
    NotFound,
    RequestTimeout,
    SettingsError,
    TooLarge,
    Unavailable,
)
from abaco.http import access, envelope, query
from abaco.http.arguments import media_type
from abaco.http.call import PUBLIC, Call, Endpoint, Reply, Subject
from abaco.http.endpoints import ENDPOINTS
from abaco.store.executions import BINARY
from abaco.store.known import NotKnown

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from abaco.http.gateway import Gateway
    from abaco.settings import Limits

_SLASHES = re.compile(r"/{2,}")
_VERSIONED = re.compile(r"^/actors/v2(?=/|$)")
_MAX_PARAMETERS = 1000
_PUBLIC_BYTES = 16 * 1024
"""Of a body whose sender need not be known."""
_TOO_LARGE = "The request body is larger than {} bytes."
_NO_ENDPOINT = (
    "Invalid request: the API endpoint does not exist or the provided HTTP method is not allowed."
)

_logger = logging.getLogger(__name__)


def make_application(gateway: Gateway, page: Callable[[ASGIApp], ASGIApp] | None = None) -> ASGIApp:
    """Return the application that serves the API of a gateway.

    Args:
        gateway: what it is about.
        page: what serves the paths outside of it, as in `platform.Prepared`.
    """
    by_path: dict[str, dict[str, Endpoint]] = defaultdict(dict)
    for endpoint in ENDPOINTS:
        by_path[endpoint.path][endpoint.method] = endpoint
    routes = [Route(path, _Path(gateway, methods)) for path, methods in by_path.items()]
    others = _not_found if page is None else _until_stopped(gateway, page(_not_found))
    router = Router(routes, redirect_slashes=False, default=others)
    return _PathMiddleware(router)


class _PathMiddleware:
    """What holds for every path: its spelling, and OPTIONS."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await Response()(scope, receive, _with_cors(send))
            return
        path = _SLASHES.sub("/", scope["path"]).rstrip("/") or "/"
        path = _VERSIONED.sub("/actors", path)
        await self._router({**scope, "path": path, "root_path": ""}, receive, send)


def _with_cors(send: Send) -> Send:
    """Add the headers of CORS: pages of other sites may read it, since a token in a header is needed."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in envelope.CORS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        reply = envelope.failure(NotFound(_NO_ENDPOINT))
        await reply(scope, receive, _with_cors(send))


def _until_stopped(gateway: Gateway, application: ASGIApp) -> ASGIApp:
    """Tell an application that its client has gone when the gateway ends."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_until_stopped() -> Message:
            received = asyncio.ensure_future(receive())
            stopped = asyncio.ensure_future(gateway.stopped())
            try:
                await asyncio.wait({received, stopped}, return_when=asyncio.FIRST_COMPLETED)
                return received.result() if received.done() else {"type": "http.disconnect"}
            finally:
                received.cancel()
                stopped.cancel()

        await application(scope, receive_until_stopped, send)

    return serve


class _Path:
    """The endpoints of one path."""

    def __init__(self, gateway: Gateway, methods: dict[str, Endpoint]) -> None:
        self._gateway = gateway
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; whatever happens, the reply is one that the API documents."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        endpoint = self._methods.get(method)
        if endpoint is None:
            allowed = {"Allow": ", ".join(sorted(self._methods))}
            refusal = envelope.failure(NotAllowed(_NO_ENDPOINT), allowed)
            await refusal(scope, receive, _with_cors(send))
            return
        began = time.perf_counter()
        try:
            response = await self._serve(endpoint, scope, receive)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if not self._gateway.stopping:
                raise
            response = _refuse(Unavailable("The gateway is stopping: try again later."))
        except ApiError as error:
            response = _refuse(error)
        except SQLAlchemyError as error:
            _logger.error("%s %s: %s", method, endpoint.path, getattr(error, "orig", error))
            message = "The platform's database does not answer: try again later."
            response = _refuse(Unavailable(message))
        except SettingsError as error:
            _logger.error("%s %s: %s", method, endpoint.path, error)
            message = "The gateway's images cannot be read: see its log."
            response = _refuse(Unavailable(message))
        except Exception:  # of one request: the others go on
            _logger.exception("%s %s", method, endpoint.path)
            response = _refuse(ApiError("The gateway failed: see its log."))
        labels = (method, endpoint.path)
        self._gateway.metrics.requests.labels(*labels, response.status_code).inc()
        self._gateway.metrics.seconds.labels(*labels).observe(time.perf_counter() - began)
        await response(scope, receive, _with_cors(send))

    async def _serve(self, endpoint: Endpoint, scope: Scope, receive: Receive) -> Response:
        gateway, headers = self._gateway, Headers(scope=scope)
        sent = query.read(scope["query_string"], most=_MAX_PARAMETERS, what="URL")
        parameters = dict(reversed(sent))
        path = {name: str(value) for name, value in scope["path_params"].items()}
        principal, subject = access.NOBODY, Subject()
        if endpoint.needs != PUBLIC:
            request = access.Request(gateway, endpoint, path, headers, parameters)
            try:
                principal, subject = access.admit(request, gateway.database.known.recall)
            except NotKnown:
                principal, subject = await asyncio.to_thread(
                    access.admit, request, gateway.database.known.ask
                )
        client = str((scope["client"] or ("",))[0])
        call = Call(gateway, endpoint, principal, subject, path, sent, headers, receive, client)
        call = await _with_body(call)
        try:
            if endpoint.on_loop:
                result = await endpoint.handle(call)
            else:
                async with _turn(call), gateway.bodies.turn(call.body):
                    result = await asyncio.to_thread(endpoint.handle, call)
            return _render(call, result)
        finally:
            call.release()


def _turn(call: Call) -> AbstractAsyncContextManager[None]:
    scans = call.endpoint.scans
    return call.gateway.sender_locks.of(call.sender) if scans else contextlib.nullcontext()


def _render(call: Call, result: Any) -> Response:
    if isinstance(result, Reply):
        # permissions are by the names of users
        respelled = call.snake and call.endpoint.result != "Permissions"
        shown = envelope.in_snake(result.result) if respelled else result.result
        return envelope.success(shown, result.message)
    response: Response = result
    return response


def _refuse(error: ApiError) -> Response:
    headers = {}
    if isinstance(error, TooLarge | RequestTimeout):
        # of a body that was refused, the rest is not read
        headers["Connection"] = "close"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return envelope.failure(error, headers)


async def _with_body(call: Call) -> Call:
    """Return a call with its body, read when there is room for it."""
    limits = call.gateway.settings.limits
    binary = call.endpoint.large and media_type(call.content_type) == BINARY
    most = limits.binary_bytes if binary else limits.body_bytes
    if call.endpoint.needs == PUBLIC:
        most = min(most, _PUBLIC_BYTES)
    announced = call.headers.get("content-length", "")
    # of a body in chunks it is not known before
    size = int(announced[:20]) if announced.isdigit() else most
    if announced == "" and "transfer-encoding" not in call.headers:
        size = 0
    if size > most:
        if binary:
            error = f"Message exceeds max content length of: {most}"
            raise BadRequest(error)
        raise TooLarge(_TOO_LARGE.format(most))
    if call.endpoint.needs == PUBLIC or not size:
        return dataclasses.replace(call, body=await _read_body(limits, call.receive, most))
    room = await call.gateway.bodies.take(call.sender, size)
    try:
        body = await _read_body(limits, call.receive, most)
    except BaseException:  # whatever it is, it goes on when the room is free
        room.release()
        raise
    return dataclasses.replace(call, body=body, room=room)


async def _read_body(limits: Limits, receive: Receive, most: int) -> bytes:
    body = bytearray()
    deadline = time.monotonic() + limits.body_seconds
    more = True
    while more:
        try:
            message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
        except asyncio.TimeoutError:
            error = f"The request body did not come within {limits.body_seconds:g} s."
            raise RequestTimeout(error) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > most:
            raise TooLarge(_TOO_LARGE.format(most))
        more = message.get("more_body", False)
    return bytes(body)
