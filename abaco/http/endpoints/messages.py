"""Endpoints for the mailbox of an actor: post, count and drop messages (docs/reference/abaco.md#messages)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import ClientDisconnect
from starlette.responses import Response

import strictjson
from abaco import clock, identifiers
from abaco.exceptions import ActorDeleted, BadRequest, Gone, Unavailable
from abaco.http import arguments, query, texts
from abaco.http.call import NONCE, Call, Endpoint, Reply
from abaco.http.throttled import BINARY_OMITTED, named_in, throttled
from abaco.images import load_images
from abaco.readiness import sentence
from abaco.store import executions
from abaco.store.executions import BINARY, JSON, TEXT, Message, Submission
from abaco.store.permissions import EXECUTE, READ, UPDATE
from abaco.workers import environment
from abaco.workers.protocol import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from abaco.images import Image

_SYNCHRONOUS = environment.SYNCHRONOUS
_MESSAGE = "message"
_NOT_A_MESSAGE = (
    "message POST body could not be serialized. Pass JSON data or use the message attribute."
)
_MSG = b"MSG="
_BYTES_AT_ONCE = 64 * 1024
"""Larger bodies are read in a thread, so that others need not wait."""
_RETRY_SECONDS = 5
_SOON_SECONDS = 0.1
"""Within which most executions end that somebody waits for."""
_MAX_KEY_LENGTH = 255
_MAX_POSTPONED = 20

_logger = logging.getLogger(__name__)
_PATH = "/actors/{actor}/messages"


class _Reading(NamedTuple):
    """A message as it was read.

    Attributes:
        submission: as it is queued.
        shown: as its sender is shown it.
        named: the values by which who guesses is recognized; None if they cannot be read.
        note: what its sender is told of it.
    """

    submission: Submission
    shown: Any
    named: Mapping[str, set[str]] | None
    note: str


async def post(call: Call) -> Reply | Response:
    """Queue a message; with `_abaco_synchronous=true`, wait for its execution and return its result."""
    lacks_room = call.gateway.readiness.lacks_room()
    if lacks_room is not None:
        message = f"{sentence(lacks_room)} Try again later."
        raise Unavailable(message)
    waits = environment.is_synchronous(call.parameters)
    waiters = call.gateway.waiters
    with waiters.one_of(call.sender, call.owner) if waits else contextlib.nullcontext():
        return await _post(call, waits=waits)


async def _post(call: Call, *, waits: bool) -> Reply | Response:
    engine, actor = call.gateway.engine, call.actor
    image = engine.image_of(actor["id"])
    if image is None:
        files = call.gateway.settings.images_files
        image = (await asyncio.to_thread(load_images, *files)).get(actor["image"])
    if len(call.body) > _BYTES_AT_ONCE:
        async with call.gateway.bodies.turn(call.body):
            reading = await asyncio.to_thread(_read, call, image)
    else:
        reading = _read(call, image)
    rule = image.throttle if image else None
    kept = reading.submission.message.environment
    ahead = await engine.ahead_of(reading.submission) if waits else None
    if ahead is not None and (image is None or image.idempotency not in kept):
        raise _away(ahead.execution_id, Outcome(unavailable=ahead.reason))
    with throttled(call, rule, kept, reading.named) as watch:
        answered = waits and ahead is None
        submitted = await engine.submit(reading.submission, answered=answered, watch=watch)
        if submitted is None:
            raise ActorDeleted(actor["id"])
    execution_id, ending = submitted
    if ahead is not None:
        raise _away(execution_id, Outcome(unavailable=ahead.reason, due=_RETRY_SECONDS))
    if ending is not None:
        # the message is on disk, and its sender may wait for long
        del reading, kept
        call.release()
        return await _outcome(call, execution_id, ending)
    here = call.link(actor["id"])
    result = {
        "executionId": execution_id,
        "msg": reading.shown,
        "_links": {
            "self": f"{here}/executions/{execution_id}",
            "owner": call.profile(actor["owner"]),
            "messages": f"{here}/messages",
        },
    }
    return Reply(result, reading.note) if reading.note else Reply(result)


async def _outcome(call: Call, execution_id: str, ending: asyncio.Future[Outcome]) -> Response:
    """Wait for an execution; return the reply to its sender."""
    patience = _Patience(call, execution_id, ending)
    try:
        outcome = await ending
    except asyncio.CancelledError:
        if patience.error is not None:
            raise patience.error from None
        if not call.gateway.stopping:
            raise
        # its sender need not send it again
        message = f"The gateway is stopping: execution {execution_id} will be run when it is back."
        raise Unavailable(message) from None
    finally:
        patience.end()
        call.gateway.engine.forget(execution_id, ending)
    if outcome.dropped:
        message = (
            f"Execution {execution_id} will not run: the mailbox was purged, or the actor deleted."
        )
        raise Gone(message)
    if outcome.unavailable:
        raise _away(execution_id, outcome)
    result = outcome.result
    if result is None:
        result = await asyncio.to_thread(_stored_result, call, execution_id)
    if result is not None:
        return Response(result, media_type=BINARY)
    return Response(outcome.log, media_type="text/html")


class _Patience:
    """Cancels the wait for an execution when its sender may wait no longer, or has hung up.

    Most executions end soon; nobody looks meanwhile whether the sender has hung up.

    Attributes:
        error: why it was cancelled; None if it was not.
    """

    def __init__(self, call: Call, execution_id: str, ending: asyncio.Future[Outcome]) -> None:
        self.error: Exception | None = None
        self._call, self._execution_id, self._ending = call, execution_id, ending
        self._seconds = call.gateway.settings.limits.synchronous_seconds
        self._watching: asyncio.Task[None] | None = None
        soon = min(self._seconds, _SOON_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(soon, self._begin)

    def end(self) -> None:
        """Take notice that nobody waits any longer."""
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        try:
            await asyncio.wait_for(self._call.disconnected(), self._seconds - _SOON_SECONDS)
            # who asks for the result later finds it
            self.error = ClientDisconnect()
        except asyncio.TimeoutError:
            message = f"Execution {self._execution_id} goes on: it is not waited for any longer."
            self.error = Unavailable(message)
        self._ending.cancel()


def _away(execution_id: str, outcome: Outcome) -> Unavailable:
    if outcome.due is None:
        message = f"The message could not be handled, and is not tried again: {outcome.unavailable}"
        return Unavailable(message, _RETRY_SECONDS)
    message = (
        f"The message is queued as execution {execution_id}, and is tried again until it can be "
        f"handled: {outcome.unavailable}"
    )
    return Unavailable(message, math.ceil(outcome.due))


def _read(call: Call, image: Image | None) -> _Reading:
    gateway, actor = call.gateway, call.actor
    body, content_type, shown = _interpret(call)
    _check_size(body, content_type, image)
    parameters = [(name, value) for name, value in call.query if name != _MESSAGE]
    for name, value in parameters:
        if not environment.fits(name, value):
            raise query.refused(name, "URL", "cannot be passed to a process")
        if image is not None and name in image.once and value != call.parameters[name]:
            raise query.refused(name, "URL", "is given twice, with different values")
    kept, dropped = environment.split(parameters, image)
    if content_type == JSON and call.parameters.get(_MESSAGE):
        dropped.append(_MESSAGE)
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
    submission = Submission(
        actor["tenant"],
        actor["id"],
        call.principal.user,
        Message(body, content_type, {**kept, **told}),
        call.principal.author,
        _ordering(call, image),
    )
    names = ", ".join(map(repr, dropped))
    note = f"The message is sent without {names:.300}" if dropped else ""
    named = named_in(shown, image)
    return _Reading(submission, shown, named, note)


def _ordering(call: Call, image: Image | None) -> str | None:
    """Return the value by which the actor's messages are ordered, if the image names one."""
    if image is None or not image.ordered_by:
        return None
    value: Any = call.parameters.get(image.ordered_by)
    # who reports to a URL may have a field of that name that says something else in each message
    if value is None and arguments.is_json(call.media_type):
        found = arguments.find(call.fields, image.ordered_by, image.places)
        value = found[0] if found else None
    if not isinstance(value, str) or not value:
        return None
    # a database takes neither half of a pair (a lone surrogate) nor, some of them, a NUL
    key = identifiers.spelled(value).encode(errors="backslashreplace").decode().replace("\0", "\\0")
    return key[:_MAX_KEY_LENGTH]


class _Body(NamedTuple):
    """A message as its process gets it, what the process is told about it, and as its sender is shown it."""

    content: bytes
    content_type: str
    shown: Any


def _interpret(call: Call) -> _Body:
    """Read a message by Abaco's rules; where the settings do not ask for their letter, keep what they lose."""
    strict = call.gateway.settings.strict_messages
    kind = call.media_type
    is_text = kind.startswith("text/") and not strict
    # an object that says more than its key `message` is the message
    named = None if not strict and _is_whole(call, kind) else _named(call, kind)
    if named not in (None, ""):
        text = str(named).removeprefix(strictjson.MARK)
        return _Body(_encode(text), TEXT, text)
    if kind == BINARY:
        return _Body(call.body, BINARY, BINARY_OMITTED)
    if not strict and _says_all_in_the_url(call):
        return _Body(b"", TEXT, "")
    if is_text and not call.text.lstrip().startswith(b"{"):
        text = texts.decode(call.text, "utf-8")
        return _Body(_encode(text), TEXT, text)
    if not arguments.is_json(kind):
        return _by_its_looks(call, strict=strict)
    if not call.text.strip() or call.content in (None, ""):
        raise BadRequest(_NOT_A_MESSAGE)
    # Abaco asks whether the value is true
    is_json = bool(call.content) if strict else not _is_text(call.content)
    return _Body(_encode(_repr(call.content)), JSON if is_json else TEXT, call.content)


def _is_text(content: Any) -> bool:
    """Tell whether a JSON value is handed over as text; an empty object is, as Abaco has it."""
    return isinstance(content, str) or content == {}


def _named(call: Call, kind: str) -> Any:
    """Return the value of the argument `message`, None or empty where there is none."""
    # a binary body is never looked into
    named = None if kind == BINARY else call.fields.get(_MESSAGE)
    if isinstance(named, list):
        named = named[0] if named else None
    return call.parameters.get(_MESSAGE) if named in (None, "") else named


def _is_whole(call: Call, kind: str) -> bool:
    """Tell whether a body is an object that says more than the message in it."""
    return arguments.is_json(kind) and bool(call.fields.keys() - {_MESSAGE})


def _says_all_in_the_url(call: Call) -> bool:
    """Tell whether there is no body, and the URL has something for the process."""
    empty = call.text.strip() in (b"", b"null", b'""')
    return empty and any(
        name not in (NONCE, _MESSAGE) and not environment.is_platforms(name)
        for name, _ in call.query
    )


def _by_its_looks(call: Call, *, strict: bool) -> _Body:
    """Read a body that is JSON, whatever its header says."""
    try:
        content = call.content
    except BadRequest as error:
        message = _NOT_A_MESSAGE
        if not strict:
            message += f" {str(error).replace(arguments.NOT_JSON, 'Read as JSON: ')}"
        raise BadRequest(message) from None
    if not strict and not isinstance(content, str | dict | list):
        # of 1.10, which nobody has called JSON, a number would not keep all
        content = texts.decode(call.text, "utf-8")
    is_text = strict or isinstance(content, str | dict)
    return _Body(_encode(str(_repr(content))), TEXT if is_text else JSON, content)


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
    most = environment.MAX_BYTES - len(_MSG)
    if len(body) > most:
        message = (
            f"The message has {len(body)} bytes as its process gets it, and a process can be "
            f"given {most}: send it as {BINARY}."
        )
        raise BadRequest(message)


def _stored_result(call: Call, execution_id: str) -> bytes | None:
    with call.gateway.database.write() as tx:
        return executions.pop_result(tx, call.actor["id"], execution_id)


def count(call: Call) -> Reply:
    """Count the messages that wait; name those that could not be handled yet, and why."""
    with call.gateway.database.read() as tx:
        waiting = executions.waiting(tx, call.actor["id"])
        postponed = executions.postponed(tx, call.actor["id"], _MAX_POSTPONED)
    shown = [
        {
            "executionId": each["id"],
            "messageReceivedTime": clock.iso(each["message_received_time"]),
            "tries": each["tries"],
            "reason": each["reason"] or "",
            "nextTry": clock.iso(each["due"] or clock.now()),
        }
        for each in postponed
    ]
    return Reply({"messages": waiting, "postponed": shown, "_links": _links(call)})


async def purge(call: Call) -> Reply:
    """Drop the messages that wait; their executions end in status ERROR."""
    await call.gateway.engine.purge(call.actor["id"])
    return Reply({"msg": "Actor mailbox purged.", "_links": _links(call)})


def _links(call: Call) -> dict[str, str]:
    return {
        "self": call.link(call.actor["id"], "messages"),
        "owner": call.profile(call.actor["owner"]),
    }


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
