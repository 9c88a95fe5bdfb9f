"""The ASGI application: from a request to an endpoint, and from its result to a reply."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import compile_path

from abaco.exceptions import (
    ApiError,
    BadRequest,
    NotAllowed,
    NotFound,
    RequestTimeout,
    SettingsError,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from abaco.http import access, envelope, query
from abaco.http.call import PUBLIC, Call, Endpoint, Reply, Subject
from abaco.http.endpoints import ENDPOINTS
from abaco.store.executions import BINARY
from abaco.store.known import NotKnown

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from abaco.http.gateway import Gateway
    from abaco.settings import Limits

_SLASHES = re.compile(r"/{2,}")
_VERSIONED = re.compile(r"^/actors/v2(?=/|$)")
_MAX_PARAMETERS = 1000
_KEPT_PATHS, _MAX_KEPT = 1_000, 200
"""Of paths whose endpoints are remembered: how many, and how long one may be."""
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
    others = _not_found if page is None else _until_stopped(gateway, page(_not_found))
    return _Application(gateway, others)


class _Found(NamedTuple):
    """What a path names.

    Attributes:
        path: as it is spelled without what does not count.
        methods: the endpoints by method; none where it is not of the API.
        parameters: what stands for the braces.
    """

    path: str
    methods: Mapping[str, Endpoint]
    parameters: Mapping[str, str]


class _Application:
    """The endpoints, and what serves all other paths."""

    def __init__(self, gateway: Gateway, others: ASGIApp) -> None:
        self._gateway = gateway
        self._others = others
        by_path: dict[str, dict[str, Endpoint]] = defaultdict(dict)
        for endpoint in ENDPOINTS:
            by_path[endpoint.path][endpoint.method] = endpoint
        self._paths = [(compile_path(path)[0], methods) for path, methods in by_path.items()]
        # those who report send to few paths, again and again
        self._recall = functools.lru_cache(_KEPT_PATHS)(self._find)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._others(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await _open(Response())(scope, receive, send)
            return
        path = scope["path"]
        found = (self._recall if len(path) <= _MAX_KEPT else self._find)(path)
        if not found.methods:
            await self._others({**scope, "path": found.path, "root_path": ""}, receive, send)
            return
        await self._answer(found, scope, receive, send)

    def _find(self, path: str) -> _Found:
        path = _SLASHES.sub("/", path).rstrip("/") or "/"
        path = _VERSIONED.sub("/actors", path)
        for pattern, methods in self._paths:
            match = pattern.match(path)
            if match is not None:
                return _Found(path, methods, match.groupdict())
        return _Found(path, {}, {})

    async def _answer(self, found: _Found, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; whatever happens, the reply is one that the API documents."""
        is_head = scope["method"] == "HEAD"
        method = "GET" if is_head else scope["method"]
        endpoint = found.methods.get(method)
        if endpoint is None or (is_head and endpoint.takes):
            allowed = {"Allow": ", ".join(sorted(found.methods))}
            refusal = envelope.failure(NotAllowed(_NO_ENDPOINT), allowed)
            await _open(refusal)(scope, receive, send)
            return
        began = time.perf_counter()
        try:
            response = await self._serve(endpoint, found.parameters, scope, receive)
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
        seconds = time.perf_counter() - began
        self._gateway.metrics.answered(method, endpoint.path, response.status_code, seconds)
        await _open(response)(scope, receive, send)

    async def _serve(
        self, endpoint: Endpoint, path: Mapping[str, str], scope: Scope, receive: Receive
    ) -> Response:
        gateway, headers = self._gateway, _read_headers(scope["headers"])
        sent = query.read(scope["query_string"], most=_MAX_PARAMETERS, what="URL")
        parameters = dict(reversed(sent))
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
        call = Call(
            gateway,
            endpoint,
            principal,
            subject,
            path=path,
            query=sent,
            parameters=parameters,
            headers=headers,
            receive=receive,
            client=client,
        )
        try:
            await _take_body(call)
            if endpoint.on_loop:
                result = await endpoint.handle(call)
            else:
                async with turn(call), gateway.bodies.turn(call.body):
                    result = await asyncio.to_thread(endpoint.handle, call)
            return _render(call, result)
        finally:
            call.release()


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await _open(envelope.failure(NotFound(_NO_ENDPOINT)))(scope, receive, send)


def _open(response: Response) -> Response:
    """Let pages of other sites read a reply, since a token in a header is needed (CORS)."""
    response.raw_headers += envelope.CORS
    return response


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


@contextlib.asynccontextmanager
async def turn(call: Call) -> AsyncIterator[None]:
    """Wait for the turn of a sender, and then for that of an owner of nonces, who may be many senders."""
    names = dict.fromkeys((call.sender, call.owner)) if call.endpoint.scans else ()
    async with contextlib.AsyncExitStack() as turns:
        for name in names:
            await turns.enter_async_context(call.gateway.sender_locks.of(name))
        yield


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


def _read_headers(sent: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers by their names in lower case; of a name that comes twice, the first."""
    headers: dict[str, str] = {}
    for name, value in sent:
        headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return headers


async def _take_body(call: Call) -> None:
    """Read the body of a call when there is room for it."""
    limits = call.gateway.settings.limits
    binary = call.endpoint.large and call.media_type == BINARY
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
    if call.endpoint.needs != PUBLIC and size:
        call.room = await call.gateway.bodies.take(call.sender, size, call.owner)
    call.body = await _read_body(limits, call.receive, most)
    encoding = call.headers.get("content-encoding", "").strip()
    if call.body and not binary and encoding.lower() not in ("", "identity"):
        error = f"The body is compressed (Content-Encoding: {encoding:.40}): send it as it is, without that header."
        raise UnsupportedMediaType(error)


async def _read_body(limits: Limits, receive: Receive, most: int) -> bytes:
    body = bytearray()
    more = True
    try:
        async with timeout(limits.body_seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                if len(body) > most:
                    raise TooLarge(_TOO_LARGE.format(most))
                more = message.get("more_body", False)
    except asyncio.TimeoutError:
        error = f"The request body did not come within {limits.body_seconds:g} s."
        raise RequestTimeout(error) from None
    return bytes(body)
