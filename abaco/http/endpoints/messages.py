"""Messages (spec: abaco-v2, 1.2)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from abaco.exceptions import BadRequest, NotFound, TooManyRequests, Unavailable
from abaco.http import arguments
from abaco.http.call import Call, Endpoint, Reply
from abaco.settings import load_images
from abaco.store import actors, executions
from abaco.store.executions import BINARY, JSON, TEXT, Message
from abaco.store.permissions import EXECUTE, READ, UPDATE
from abaco.workers import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from abaco.settings import Guarded, Image

_SYNCHRONOUS = "_abaco_synchronous"
_OMITTED = "binary - omitted"
_NOT_A_MESSAGE = (
    "message POST body could not be serialized. Pass JSON data or use the message attribute."
)
_MSG = b"MSG="

_logger = logging.getLogger(__name__)


async def post(call: Call) -> Reply | Response:
    """Queue a message; with `_abaco_synchronous=true`, wait for its execution and return its result."""
    async with call.gateway.bodies.turn(call.body):
        execution_id, reply = await asyncio.to_thread(_submit, call)
    if call.parameters.get(_SYNCHRONOUS, "").lower() != "true":
        return reply
    # the message is on disk, and its sender may wait for long
    del reply
    call.release()
    pool = call.gateway.pool
    ending, left = pool.ending(execution_id), asyncio.create_task(call.left())
    seconds = call.gateway.settings.limits.synchronous_seconds
    try:
        # it may have ended before it was asked for
        if not await asyncio.to_thread(_has_ended, call, execution_id):
            await asyncio.wait({ending, left}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                # who asks for the result later finds it
                raise ClientDisconnect
            _check_ended(execution_id, ending)
    finally:
        left.cancel()
        pool.forget(execution_id, ending)
    return await asyncio.to_thread(_outcome, call, execution_id)


def _check_ended(execution_id: str, ending: asyncio.Future[None]) -> None:
    if ending.cancelled():
        message = f"The gateway is stopping: execution {execution_id} will be run when it is back."
        raise Unavailable(message)
    if not ending.done():
        message = f"Execution {execution_id} goes on: it is not waited for any longer."
        raise Unavailable(message)


def _submit(call: Call) -> tuple[str, Reply]:
    gateway, actor = call.gateway, call.actor
    body, content_type, shown = _interpret(call)
    image = load_images(gateway.settings.images_file).get(actor["image"])
    _check_size(body, content_type, image)
    parameters = [(name, value) for name, value in call.query if name != "message"]
    kept, dropped = environment.split(parameters, image.protected if image else ())
    if dropped:
        gateway.metrics.dropped.inc(len(dropped))
        _logger.warning(
            "actor %s: URL parameters dropped: %s", actor["id"], ", ".join(map(repr, dropped))[:500]
        )
    told = {
        "_abaco_username": call.principal.user,
        "_abaco_api_server": gateway.api_server(call.tenant),
        "_abaco_Content_Type": content_type,
    }
    if call.principal.jwt_header is not None:
        told["_abaco_jwt_header_name"] = call.principal.jwt_header
    message = Message(body, content_type, {**kept, **told})
    rule = image.throttle if image else None
    with _throttled(call, rule, kept, shown) as watch, gateway.database.write() as tx:
        if actors.get(tx, actor["id"]) is None:
            error = f"No actor found with identifier: {actor['id']}."
            raise NotFound(error)
        execution_id = executions.submit(tx, actor, call.principal.user, message)
        # before anybody else can see the message, and take it
        watch(execution_id)
    gateway.wake(actor["id"])
    result = {
        "executionId": execution_id,
        "msg": shown,
        "_links": {
            "self": call.link(actor["id"], "executions", execution_id),
            "owner": call.profile(actor["owner"]),
            "messages": call.link(actor["id"], "messages"),
        },
    }
    return execution_id, Reply(result)


@contextlib.contextmanager
def _throttled(
    call: Call, rule: Guarded | None, kept: Mapping[str, str], shown: Any
) -> Iterator[Callable[[str], None]]:
    """Refuse a message of somebody who guesses; give what is to be told its execution.

    Args:
        call: the request.
        rule: of the image, how such a message is recognized.
        kept: the parameters of the URL that the process gets.
        shown: the message, as `_interpret` has it.

    Raises:
        TooManyRequests: too many messages like this one were refused.
    """
    if rule is None:
        yield lambda _: None
        return
    throttle = call.gateway.throttle
    content = _read(shown)
    subjects, held = (
        {str(each[name]) for each in (kept, content or {}) if name in each}
        for name in (rule.by, rule.secret)
    )
    try:
        attempt = throttle.admit(
            call.actor["id"], rule, call.sender, subjects, None if content is None else held
        )
    except TooManyRequests:
        call.gateway.metrics.throttled.inc()
        raise
    try:
        yield lambda execution_id: throttle.watch(execution_id, attempt)
    except BaseException:  # whatever it is, it goes on when the message is not expected any more
        throttle.withdraw(attempt)
        raise


def _read(shown: Any) -> Mapping[str, Any] | None:
    """Return the named values of a message; None where an actor may find some that are not seen here."""
    if shown is _OMITTED:
        return None
    if isinstance(shown, str) and "{" in shown:
        try:
            content = arguments.read_json(shown.encode(errors="surrogatepass"))
        except BadRequest:
            # it may be a literal of Python
            return None
    else:
        content = shown
    return content if isinstance(content, dict) else {}


def _interpret(call: Call) -> tuple[bytes, str, Any]:
    """Return a message as its process gets it, its content type, and as the sender is shown it."""
    kind = arguments.media_type(call.content_type)
    # a binary body is never looked into
    named = None if kind == BINARY else call.fields.get("message")
    if isinstance(named, list):
        named = named[0] if named else None
    if named in (None, ""):
        named = call.parameters.get("message")
    if named not in (None, ""):
        text = str(named)
        return _encode(text), TEXT, text
    if kind == BINARY:
        return call.body, BINARY, _OMITTED
    if arguments.is_json(kind):
        if call.content in (None, ""):
            raise BadRequest(_NOT_A_MESSAGE)
        return _encode(_repr(call.content)), JSON if call.content else TEXT, call.content
    try:
        content = call.content
    except BadRequest:
        raise BadRequest(_NOT_A_MESSAGE) from None
    return _encode(str(_repr(content))), TEXT, content


def _repr(content: Any) -> str:
    """Return what Abaco makes of a JSON value: a string stays, all else is as Python writes it."""
    try:
        return content if isinstance(content, str) else repr(content)
    except RecursionError:
        raise BadRequest(_NOT_A_MESSAGE) from None


def _encode(text: str) -> bytes:
    try:
        body = text.encode()
    except UnicodeEncodeError:
        message = "The message has a character that is half of a pair (a lone surrogate)."
        raise BadRequest(message) from None
    if b"\0" in body:
        message = "The message has a NUL, which a process cannot be given."
        raise BadRequest(message)
    return body


def _check_size(body: bytes, content_type: str, image: Image | None) -> None:
    if content_type == BINARY or (image is not None and image.mode == "warm"):
        return
    most = environment.MOST_BYTES - len(_MSG)
    if len(body) > most:
        message = (
            f"The message has {len(body)} bytes as its process gets it, and a process can be "
            f"given {most}: send it as {BINARY}."
        )
        raise BadRequest(message)


def _has_ended(call: Call, execution_id: str) -> bool:
    with call.gateway.database.read() as tx:
        execution = executions.find(tx, call.actor["id"], execution_id)
    return execution is None or execution["status"] in executions.ENDED


def _outcome(call: Call, execution_id: str) -> Response:
    with call.gateway.database.write() as tx:
        result = executions.pop_result(tx, call.actor["id"], execution_id)
        if result is not None:
            return Response(result, media_type=BINARY)
        return Response(executions.log_of(tx, execution_id), media_type="text/html")


def count(call: Call) -> Reply:
    """Count the messages that wait."""
    with call.gateway.database.read() as tx:
        waiting = executions.waiting(tx, call.actor["id"])
    links = {
        "self": call.link(call.actor["id"], "messages"),
        "owner": call.profile(call.actor["owner"]),
    }
    return Reply({"messages": waiting, "_links": links})


def purge(call: Call) -> Reply:
    """Drop the messages that wait; their executions end in status ERROR."""
    with call.gateway.database.write() as tx:
        dropped = executions.purge(tx, call.actor["id"])
    call.gateway.announce_ended(dropped)
    links = {
        "self": call.link(call.actor["id"], "messages"),
        "owner": call.profile(call.actor["owner"]),
    }
    return Reply({"msg": "Actor mailbox purged.", "_links": links})


_PATH = "/actors/{actor}/messages"
ENDPOINTS = (
    Endpoint(
        "POST",
        _PATH,
        post,
        EXECUTE,
        "Send a message",
        thing="message",
        result="Accepted",
        raw=(BINARY, "text/html"),
        parameters={
            "message": "The message, in place of a body.",
            _SYNCHRONOUS: "true: wait until the execution has ended, and answer its first result, "
            "or its log where there is none.",
        },
        free_body=True,
        large=True,
    ),
    Endpoint("GET", _PATH, count, READ, "Count the messages that wait", result="Mailbox"),
    Endpoint("DELETE", _PATH, purge, UPDATE, "Drop the messages that wait", result="Purged"),
)
