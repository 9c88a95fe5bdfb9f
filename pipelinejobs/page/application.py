"""The ASGI application of the page: from an address to its handler, and what holds for all of them."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote

from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Match, Route, Router

from abaco.store.permissions import EXECUTE, READ, UPDATE
from datacatalog import mongo
from datacatalog.linkedstores.basestore.paging import InvalidCursor
from datacatalog.linkedstores.changes import Changes
from datacatalog.linkedstores.pipelinejob import UnknownJob
from manager.exceptions import Refusal
from pipelinejobs.backend import ALIAS
from pipelinejobs.exceptions import CommandError, Missing, Unreachable
from pipelinejobs.gateway_client import GatewayClient, http_client
from pipelinejobs.page import (
    actors,
    forms,
    gantt,
    jobs,
    listing,
    live,
    overview,
    pipelines,
    refused,
    rendering,
    saved_views,
    selection,
    session,
    subscriptions,
)
from pipelinejobs.page.context import SEE_OTHER, Context, Problem, path_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from abaco.platform import Platform, Visitor
    from pipelinejobs.backend import Backend

    Handler = Callable[[Context], Response]

T = TypeVar("T")
THREADS = {"sign-in": 4, "database": 12, "api": 8}
"""Of the page's own, by what they may have to wait for: where one does not answer, the others do.
The API has to have threads of its own left to answer."""
DOWN_SECONDS = 2.0
"""For how long nobody waits for a database that has just not answered."""
MAX_STREAMS, MAX_OF_ONE = 200, 20
_API = "/actors"
_PLATFORM = "/platform"
_MIN_COMPRESSED, _COMPRESSION = 1024, 5
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NO_DATABASE = "The database of the jobs does not answer: try again later."
_logger = logging.getLogger(__name__)


class Address(NamedTuple):
    """An address of the page.

    Attributes:
        method: of HTTP.
        path: with the names of its parts.
        handler: what answers.
        level: on the manager, which whoever is signed in needs.
        version: of what the handler shows; changes are told while somebody looks at it.
    """

    method: str
    path: str
    handler: Handler
    level: str = READ
    version: Callable[[Context], object] | None = None

    @property
    def waits_for(self) -> str:
        """Whether the handler asks the database or the API: a key of `THREADS`."""
        return "api" if self.path.startswith(_PLATFORM) else "database"


_JOB = "/jobs/{uuid}"
_ACTOR = "/platform/{actor}"
_EXECUTION = "/platform/{actor}/executions/{execution}"
ADDRESSES = (
    Address("GET", "/", overview.show, version=overview.version),
    Address("GET", "/gantt", gantt.show, version=overview.version),
    Address("GET", "/jobs", listing.show, version=listing.version),
    Address("GET", "/counts", listing.counts),
    Address("POST", "/jobs/views", saved_views.save, EXECUTE),
    Address("POST", "/jobs/views/remove", saved_views.remove, EXECUTE),
    Address("POST", "/jobs/selection", selection.preview, EXECUTE),
    Address("POST", "/jobs/selection/apply", selection.apply, EXECUTE),
    Address("GET", _JOB, jobs.show, version=jobs.version),
    Address("GET", f"{_JOB}/document", jobs.document),
    Address("GET", f"{_JOB}/entries/{{entry}}", jobs.entry),
    Address("POST", f"{_JOB}/events", jobs.send_event, EXECUTE),
    Address("POST", f"{_JOB}/delete", jobs.delete, EXECUTE),
    Address("GET", "/pipelines", pipelines.show_all, version=listing.version),
    Address("GET", "/pipelines/{uuid}", pipelines.show),
    Address("GET", "/pipelines/{uuid}/document", pipelines.document),
    Address("GET", "/refused", refused.show, version=listing.version),
    Address("POST", "/refused", refused.retry, UPDATE),
    Address("GET", "/refused/{refused}", refused.show_one),
    Address("GET", "/subscriptions", subscriptions.show, version=subscriptions.version),
    Address("POST", "/subscriptions", subscriptions.change, UPDATE),
    Address("GET", "/platform", actors.show_actors, version=actors.version_of_actors),
    Address("GET", _ACTOR, actors.show_actor, version=actors.version_of_actor),
    Address("POST", f"{_ACTOR}/nonces", actors.create_nonce),
    Address("POST", f"{_ACTOR}/nonces/delete", actors.delete_nonce),
    Address("POST", f"{_ACTOR}/workers", actors.add_worker),
    Address("GET", _EXECUTION, actors.show_execution, version=actors.version_of_execution),
    Address("GET", f"{_EXECUTION}/log", actors.show_log),
    Address("POST", f"{_EXECUTION}/stop", actors.stop_execution),
)


def make_page(platform: Platform, backend: Backend) -> Callable[[ASGIApp], ASGIApp]:
    """Return the page in the form that `abaco.platform.Prepared` wants it.

    Args:
        platform: on which the manager runs.
        backend: where its jobs are.
    """

    def page(otherwise: ASGIApp) -> ASGIApp:
        parts = _Parts(platform, backend)
        by_path: dict[str, dict[str, Address]] = defaultdict(dict)
        for address in ADDRESSES:
            by_path[address.path][address.method] = address
        routes: list[Route] = [
            _Named(path, _Signed(parts, methods)) for path, methods in by_path.items()
        ]
        routes += [
            Route("/sign-in", _Open(parts, _sign_in)),
            Route("/sign-in/codes", _Open(parts, _make_code), methods=["POST"]),
            Route("/sign-out", _Open(parts, _sign_out)),
            Route("/static/{name}", _Open(parts, _static)),
        ]
        return Router(routes, redirect_slashes=False, default=_Missing(otherwise))

    return page


class _Named(Route):
    """A path with names in it, which may have a slash, written `%2F`."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether a request is for it."""
        raw = scope.get("raw_path", b"").decode("latin-1")
        if "%2f" not in raw.lower():
            return super().matches(scope)
        match, more = super().matches({**scope, "path": raw})
        if match is not Match.NONE:
            names = more["path_params"].items()
            more["path_params"] = {name: unquote(value) for name, value in names}
        return match, more


class _Parts:
    """What all requests share."""

    def __init__(self, platform: Platform, backend: Backend) -> None:
        self.platform = platform
        self.backend = backend
        self.changes = Changes(backend.jobs)
        self.changes.total()
        self.streams: Counter[str] = Counter()
        self._threads = {
            name: ThreadPoolExecutor(number, thread_name_prefix=f"page-{name}")
            for name, number in THREADS.items()
        }
        self._down = 0.0

    async def visitor(self, secret: str) -> Visitor | None:
        return await self.in_thread("sign-in", self.platform.visitor, secret, ALIAS)

    async def in_thread(self, name: str, function: Callable[..., T], *args: Any) -> T:
        if name == "database" and time.monotonic() - self._down < DOWN_SECONDS:
            raise Problem(_NO_DATABASE, 503)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._threads[name], functools.partial(function, *args)
            )
        except mongo.DatabaseError:
            self._down = time.monotonic()
            raise

    @functools.cached_property
    def client(self) -> httpx.Client:
        """What sends requests to the API."""
        return http_client(self.platform.listening)

    def api(self, visitor: Visitor) -> GatewayClient:
        shown = self.platform.pass_for(visitor)
        return GatewayClient(self.platform.listening, shown, self.backend.actor, self.client)


class _Open:
    """An address for everybody."""

    def __init__(
        self, parts: _Parts, handle: Callable[[_Parts, Request], Awaitable[ASGIApp]]
    ) -> None:
        self._parts = parts
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; whatever happens, the reply is a page."""
        request = Request(scope, receive)
        try:
            response = await self._handle(self._parts, request)
        except ClientDisconnect:
            return
        except (CommandError, Problem, InvalidCursor, UnknownJob, Refusal) as error:
            response = _problem(str(error), _status(error))
        except mongo.DatabaseError as error:
            _logger.warning("the page: the database: %s", type(error).__name__)
            response = _problem(_NO_DATABASE, 503)
        except SQLAlchemyError as error:
            _logger.warning("the page: the platform's database: %s", type(error).__name__)
            response = _problem(
                "The database of the platform does not answer: try again later.", 503
            )
        except Exception:  # of one request: the others go on
            _logger.exception("%s %s", request.method, scope["path"])
            response = _problem("The page failed: see the log of the gateway.", 500)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if not request.url.path.startswith(_PLATFORM):
            # nonces stand in those pages: their sizes are to tell nothing of what is in them
            response = GZipMiddleware(response, _MIN_COMPRESSED, _COMPRESSION)
        await response(scope, receive, send_with_headers)


class _Signed(_Open):
    """A path for those who are signed in."""

    def __init__(self, parts: _Parts, methods: dict[str, Address]) -> None:
        super().__init__(parts, self._serve)
        self._methods = methods

    async def _serve(self, parts: _Parts, request: Request) -> ASGIApp:
        method = "GET" if request.method == "HEAD" else request.method
        address = self._methods.get(method)
        if address is None:
            allowed = {"Allow": ", ".join(sorted(self._methods))}
            return _problem("There is no such action.", 405, allowed)
        if "code" in request.query_params:
            return await _sign_in(parts, request)
        secret = session.of(request)
        visitor = await parts.visitor(secret)
        if visitor is None:
            return _ask_for_token(request, "Your session has ended." if secret else "")
        context = Context(
            request,
            parts.backend,
            parts.changes,
            parts.api(visitor),
            visitor,
            secret,
            parts.platform.address,
        )
        if method == "POST":
            context.form = await forms.read(request)
            if not session.is_own(request, secret, context.form.get("csrf", "")):
                message = "This form is not from this session: load the page again."
                raise Problem(message, 403)
        context.require(address.level)
        ask, pool = address.version, address.waits_for
        if ask is not None:
            if live.MEDIA_TYPE in request.headers.get("accept", "") and request.method == "GET":
                return _stream(
                    parts, context, lambda: parts.in_thread(pool, _version, ask, context)
                )
            context.version = await parts.in_thread(pool, _version, ask, context)
        return await parts.in_thread(pool, address.handler, context)


def _version(ask: Callable[[Context], object], context: Context) -> str:
    try:
        return live.version(ask(context))
    except (CommandError, Problem, UnknownJob) as error:
        return live.version(type(error).__name__)


def _stream(parts: _Parts, context: Context, ask: Callable[[], Awaitable[str]]) -> ASGIApp:
    user = context.visitor.user
    if parts.streams[user] >= MAX_OF_ONE or parts.streams.total() >= MAX_STREAMS:
        message = "Too many pages are being followed: close some."
        raise Problem(message, 503)

    async def version() -> str | None:
        try:
            return await ask() if await parts.visitor(context.session) == context.visitor else None
        except (mongo.DatabaseError, Problem):
            # the browser comes again by itself
            return None

    async def follow(scope: Scope, receive: Receive, send: Send) -> None:
        parts.streams[user] += 1
        try:
            await live.Stream(version)(scope, receive, send)
        finally:
            parts.streams[user] -= 1
            parts.streams += Counter()  # only those who follow something are remembered

    return follow


class _Missing:
    """Answers for paths that neither the API nor the page has: a browser is shown a page."""

    def __init__(self, otherwise: ASGIApp) -> None:
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        is_page = scope["type"] == "http" and not scope["path"].startswith(_API)
        if is_page and "text/html" in Request(scope).headers.get("accept", ""):
            answer = _problem("There is no such page.", 404, _HEADERS)
            await answer(scope, receive, send)
        else:
            await self._otherwise(scope, receive, send)


async def _sign_in(parts: _Parts, request: Request) -> ASGIApp:
    if session.comes_from_elsewhere(request):
        # nobody is to be signed in as somebody else by another site
        return _ask_for_token(request, "")
    former, secret, problem = session.of(request), None, ""
    if request.method == "POST":
        token = (await forms.read(request, forms.SIGN_IN_BYTES)).get("token", "").strip()
        if token:
            secret = await parts.in_thread("sign-in", parts.platform.sign_in, token)
            problem = "This token is unknown or has expired."
    elif request.method == "GET" and "code" in request.query_params:
        code = request.query_params["code"].strip()
        secret = await parts.in_thread("sign-in", parts.platform.redeem, code)
        problem = "This address has signed somebody in already, or it is too old."
        if secret is None and await parts.visitor(former) is not None:
            # it is in the history of the browser
            return RedirectResponse(_wanted(request), SEE_OTHER)
    if secret is None:
        return _ask_for_token(request, problem)
    if former:
        await parts.in_thread("sign-in", parts.platform.sign_out, former)
    response = RedirectResponse(_wanted(request), SEE_OTHER)
    session.begin(request, response, secret)
    return response


async def _make_code(parts: _Parts, request: Request) -> ASGIApp:
    """Answer a client that shows an access token with an address that signs its owner in."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    code = None
    if scheme.lower() == "bearer":
        code = await parts.in_thread("sign-in", parts.platform.code, token.strip())
    if code is None:
        message = "The access token is unknown or has expired."
        return JSONResponse({"message": message}, 401, {"WWW-Authenticate": "Bearer"})
    return JSONResponse({"address": address_with(parts.platform, code)})


def address_with(platform: Platform, code: str) -> str:
    """Return the address of the page that signs in by a code."""
    return f"{platform.address}/?code={code}"


def _wanted(request: Request) -> str:
    """Return the address to go to after the sign-in: one of this page, without the code."""
    if request.url.path == "/sign-in":
        next_path = request.query_params.get("next", "/")
        return next_path if next_path[:1] == "/" and next_path[1:2] not in ("/", "\\") else "/"
    query = request.url.remove_query_params("code").query
    return path_of(request) + (f"?{query}" if query else "")


async def _sign_out(parts: _Parts, request: Request) -> ASGIApp:
    response = RedirectResponse("/", SEE_OTHER)
    if request.method == "POST":
        secret = session.of(request)
        form = await forms.read(request, forms.SIGN_IN_BYTES)
        if session.is_own(request, secret, form.get("csrf", "")):
            await parts.in_thread("sign-in", parts.platform.sign_out, secret)
            session.end(request, response)
    return response


async def _static(_parts: _Parts, request: Request) -> ASGIApp:
    name = request.path_params["name"]
    if name not in rendering.STATIC:
        message = "There is no such file."
        raise Problem(message, 404)
    content, digest = rendering.static_file(name)
    headers = {"ETag": f'"{digest}"', "Cache-Control": "public, max-age=31536000, immutable"}
    return Response(content, media_type=rendering.STATIC[name], headers=headers)


def _ask_for_token(request: Request, problem: str) -> Response:
    template = rendering.environment().get_template("sign_in.html")
    return HTMLResponse(template.render(problem=problem, wanted=_wanted(request)), 401)


def _problem(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    template = rendering.environment().get_template("problem.html")
    return HTMLResponse(template.render(text=text, status=status), status, headers)


def _status(error: Exception) -> int:
    if isinstance(error, Problem):
        return error.status
    if isinstance(error, Unreachable):
        return 503
    return 404 if isinstance(error, UnknownJob | Missing) else 400
