"""Report to a job what becomes of its work, from wherever that runs.

This file needs nothing but Python 3.8 or newer: copied to a cluster's node it is the module
`client` there, and a command.

    with Job.from_callback(url) as job:  # run; in the end finish, or fail
        job.update({"progress": 0.4})

    PIPELINEJOBS_CALLBACK="https://..." python client.py update --data '{"progress": 0.4}'
"""

from __future__ import annotations

import argparse
import contextlib
import email.utils
import http.client
import itertools
import json
import logging
import math
import os
import random
import re
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

VARIABLE = "PIPELINEJOBS_CALLBACK"
"""Where the callback is found that is not given."""
PATIENCE = 60.0
"""Seconds in which an event is sent again and again."""
_TIMEOUT = 30.0
_FIRST_PAUSE, _MAX_PAUSE = 0.5, 30.0
_FIRST_REST, _MAX_REST = 5.0, 300.0
"""Seconds, after patience has ended, in which only the end of the job is sent."""
_MAX_RETRY_AFTER = 86_400.0
_DOUBLINGS = 10
_MAX_WAITING = 1000
_SHORTEST_SECRET = 8
_MAX_ANSWER = 1024 * 1024
_LAST = ("finish", "fail")
_HERE = ("localhost", "127.0.0.1", "::1")
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_REFUSED, _UNDELIVERED = 1, 75
_MAX_INTEGER = 2**63
_SURROGATE = re.compile("[\ud800-\udfff]")
_OURS = ("token", "event_id", "_abaco_synchronous")
_logger = logging.getLogger("pipelinejobs.client")


class ReportError(Exception):
    """An event was not reported; the message has no secrets."""


class Refused(ReportError):
    """The event was answered by a refusal; the same event gets the same answer."""


class Undelivered(ReportError):
    """Nobody has answered in time, or not so that it is known what became of the event."""


class _Later(Exception):
    """The answer may be another one later, after some seconds if it says how many."""

    def __init__(self, text: str, seconds: float | None = None) -> None:
        super().__init__(text)
        self.seconds = seconds


class _Event(NamedTuple):
    name: str
    body: bytes
    key: str
    has_own_key: bool


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        """Go nowhere: what is posted is for one address."""


class _Callback:
    """A callback, taken apart."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url.strip())
            known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            known = known and all("!" <= character <= "~" for character in url.strip())
        except ValueError:
            known = False
        parameters = parse_qsl(parts.query) if known else []
        named = dict(parameters)
        if "uuid" not in named:
            _refuse("the callback is not a URL of a job: it needs http(s) and the parameter 'uuid'")
        self.host = parts.netloc.rpartition("@")[2]
        self.uuid = named["uuid"]
        self.token = named.get("token")
        self._address = f"{parts.scheme}://{self.host}{parts.path}"
        self._parameters = [each for each in parameters if each[0] not in _OURS]
        self._secrets = [named[name] for name in ("token", "x-nonce") if name in named]
        # no proxy knows this machine by such a name
        no_proxy = [urllib.request.ProxyHandler({})] if parts.hostname in _HERE else []
        self._opener = urllib.request.build_opener(_NoRedirect, *no_proxy)

    def redact(self, text: str) -> str:
        """Return a string without the secrets of the callback."""
        for secret in self._secrets:
            # a shorter one would be part of many words, and is none
            text = text.replace(secret, "***") if len(secret) >= _SHORTEST_SECRET else text
        return text

    def post(self, event: _Event) -> dict[str, Any]:
        """Send an event; return the answer of the manager, empty where it only took it.

        Raises:
            Refused: it is not taken.
            _Later: it may be taken later, or was taken, which is not known.
        """
        ours = [("event_id", event.key), ("_abaco_synchronous", "true")]
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            f"{self._address}?{urlencode([*self._parameters, *ours])}",
            data=event.body,
            headers={"Content-Type": "application/json", "User-Agent": "pipelinejobs-client"},
        )
        try:
            try:
                reply = self._opener.open(request, timeout=_TIMEOUT)
            except urllib.error.HTTPError as error:
                reply = error
            with reply:
                status, headers, content = reply.code, reply.headers, reply.read(_MAX_ANSWER)
        except (OSError, http.client.HTTPException, ValueError) as error:
            text = f"no answer from {self.host} ({_reason(error)})"
            raise _Later(text) from None
        answer = _read(content)
        if status == http.client.OK:
            return self._told(answer, event)
        said = self.redact(str(answer.get("message", "")))[:300]
        text = f"HTTP status {status}{': ' if said else ''}{said}"
        if status in _RETRIED:
            raise _Later(text, _seconds(headers.get("Retry-After")))
        raise Refused(text)

    def _told(self, answer: dict[str, Any], event: _Event) -> dict[str, Any]:
        if "error" in answer:
            text = self.redact(str(answer["error"]))[:500]
            kind = answer.get("kind")
            # with a key that nobody else has, it was a race with others that was lost
            if kind == "unavailable" or (kind == "conflict" and event.has_own_key):
                raise _Later(text)
            raise Refused(text)
        if "state" in answer:
            return answer
        if isinstance(answer.get("result"), dict) and "executionId" in answer["result"]:
            return {}
        text = "the answer does not say what became of the event"
        raise _Later(text)


class Job:
    """A job, for those who do its work.

    What cannot be reported is logged, kept, and tried again with the next event; it is not an error
    for the work itself, unless the job is strict. Each event counts once, however often it was sent.

    As a context it reports `run` first, unless that was reported, and at the end `finish`, or
    `fail` with the error that ended the block, unless one of them was reported.

    Args:
        callback: of the job; None to report nothing.
        strict: raise an error where something cannot be reported.
        patience: seconds in which an event is sent again and again.

    Attributes:
        state: of the job, after the last event that was answered; empty before.
    """

    def __init__(
        self, callback: _Callback | None, *, strict: bool = False, patience: float = PATIENCE
    ) -> None:
        self.state = ""
        self._callback = callback
        self._strict, self._patience = strict, patience
        self._lock = threading.Lock()
        self._waiting: list[_Event] = []
        self._failures, self._rests_until = 0, 0.0
        self._has_begun = self._has_ended = False

    @classmethod
    def from_callback(
        cls, url: str | None = None, *, strict: bool = False, patience: float = PATIENCE
    ) -> Job:
        """Return the job of a callback.

        Args:
            url: the callback; by default that in the variable PIPELINEJOBS_CALLBACK.
            strict: raise an error where something cannot be reported. Without this, a callback that
                is missing or unusable is logged, and nothing is reported.
            patience: seconds in which an event is sent again and again.

        Raises:
            ReportError: the job is strict, and there is no callback, or it is unusable.
        """
        given = os.environ.get(VARIABLE, "") if url is None else url
        try:
            if not given:
                _refuse(f"there is no callback: set {VARIABLE}")
            return cls(_Callback(given), strict=strict, patience=patience)
        except ReportError as error:
            if strict:
                raise
            _logger.warning("nothing will be reported: %s", error)
            return cls(None)

    def __repr__(self) -> str:
        callback = self._callback
        return f"<Job {callback.uuid} at {callback.host}>" if callback else "<Job of nobody>"

    @property
    def uuid(self) -> str:
        """The job's uuid; empty where nothing is reported."""
        return self._callback.uuid if self._callback else ""

    def run(self, data: Mapping[str, Any] | None = None, *, event_id: str = "") -> Job:
        """Report that the work has begun; see `send`."""
        return self.send("run", data, event_id=event_id)

    def update(self, data: Mapping[str, Any] | None = None, *, event_id: str = "") -> Job:
        """Report how the work goes on; see `send`."""
        return self.send("update", data, event_id=event_id)

    def resource(self, data: Mapping[str, Any] | None = None, *, event_id: str = "") -> Job:
        """Report what becomes of the resources for the work; see `send`."""
        return self.send("resource", data, event_id=event_id)

    def finish(self, data: Mapping[str, Any] | None = None, *, event_id: str = "") -> Job:
        """Report that the work is done; see `send`."""
        return self.send("finish", data, event_id=event_id)

    def fail(self, data: Mapping[str, Any] | None = None, *, event_id: str = "") -> Job:
        """Report that the work has failed; see `send`."""
        return self.send("fail", data, event_id=event_id)

    def send(self, name: str, data: Mapping[str, Any] | None = None, *, event_id: str = "") -> Job:
        """Report an event, after those that still wait; return this job.

        Args:
            name: of the event.
            data: what the history is to keep. What JSON does not have becomes a string.
            event_id: the key by which the event counts once, if it is sent by several processes.

        Raises:
            Refused: the job is strict, and the event was refused.
            Undelivered: the job is strict, and nobody has answered.
        """
        with self._lock:
            self._has_begun |= name == "run"
            self._has_ended |= name in _LAST
            self._enqueue(name, data, event_id)
            if name in _LAST or time.monotonic() >= self._rests_until:
                self._deliver()
        return self

    @contextlib.contextmanager
    def begin(self, data: Mapping[str, Any] | None = None) -> Iterator[Job]:
        """Report `run` in the background, again and again while the block goes on.

        The block does not wait for it. What was not reported then is reported with the next event.
        """
        with self._lock:
            self._has_begun = True
            self._enqueue("run", data, "")
        over = threading.Event()
        thread = threading.Thread(target=self._send_until, args=(over,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()

    def __enter__(self) -> Job:  # noqa: PYI034 - Self is newer than Python 3.8
        """Report `run`, unless it was reported."""
        return self if self._has_begun else self.run()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Report how the block has ended, unless that was reported."""
        if self._has_ended:
            return
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.finish()
            return
        try:
            self.fail(
                {"error": "".join(traceback.format_exception_only(kind, error)).strip()[:2000]}
            )
        except ReportError as problem:
            # what has ended the block is the error that counts
            _logger.warning("fail event: not reported: %s", problem)

    def _enqueue(self, name: str, data: Mapping[str, Any] | None, event_id: str) -> None:
        callback = self._callback
        if callback is None:
            return
        try:
            content = _carried(dict(data or {}))
        except (TypeError, ValueError, RecursionError) as error:
            if self._strict:
                text = f"{name} event: the data cannot be written as JSON: {type(error).__name__}"
                raise ReportError(text) from error
            content = json.dumps({"note": "the data could not be written as JSON"})
        head = {"uuid": callback.uuid, "name": name}
        if callback.token:
            head["token"] = callback.token
        body = f'{json.dumps(head)[:-1]}, "data": {callback.redact(content)}}}'
        key = event_id or str(uuid.uuid4())
        self._waiting.append(_Event(name, body.encode(), key, not event_id))
        if len(self._waiting) > _MAX_WAITING:
            # what says how it went is missed less than what says that it began or ended
            found = (at for at, each in enumerate(self._waiting) if each.name == "update")
            _logger.warning("%s event: given up", self._waiting.pop(next(found, 0)).name)

    def _send_until(self, over: threading.Event) -> None:
        """Send what waits, again and again until it is over."""
        for number in itertools.count():
            try:
                with self._lock:
                    self._send_waiting()
            except _Later as later:
                if over.wait(_pause(number, _MAX_REST, later)):
                    return
            except ReportError as error:
                _logger.warning("%s", error)
                return
            else:
                return

    def _deliver(self) -> None:
        """Send what waits, as long as there is patience."""
        deadline = time.monotonic() + self._patience
        for number in itertools.count():
            try:
                self._send_waiting()
            except _Later as later:
                pause = _pause(number, _MAX_PAUSE, later)
                if not time.monotonic() + pause < deadline:  # NaN ends it at once
                    self._give_up(str(later))
                    return
                time.sleep(pause)
            else:
                self._failures, self._rests_until = 0, 0.0
                return

    def _send_waiting(self) -> None:
        """Send what waits, in order."""
        while self._callback and self._waiting:
            event = self._waiting[0]
            try:
                self.state = self._callback.post(event).get("state", self.state)
            except Refused as refusal:
                reason = str(refusal).removeprefix(f"{event.name} event: ")
                text = f"{event.name} event refused: {reason}"
                if self._strict:
                    self._waiting.clear()
                    raise Refused(text) from None
                _logger.warning("%s", text)
            self._waiting.pop(0)

    def _give_up(self, reason: str) -> None:
        others = len(self._waiting) - 1
        more = f" and {others} after it" if others else ""
        text = f"{self._waiting[0].name} event{more}: not reported: {reason}"
        if self._strict:
            self._waiting.clear()
            raise Undelivered(text)
        rest = min(_MAX_REST, _FIRST_REST * 2 ** min(self._failures, _DOUBLINGS))
        self._failures, self._rests_until = self._failures + 1, time.monotonic() + rest
        _logger.warning("%s", text)


def _refuse(text: str) -> NoReturn:
    raise ReportError(text)


def _pause(number: int, longest: float, later: _Later) -> float:
    """Return the seconds to wait after a try: at random, so that not all come back at once."""
    most = min(longest, _FIRST_PAUSE * 2 ** min(number, _DOUBLINGS))
    return max(random.uniform(most / 2, most), later.seconds or 0.0)  # noqa: S311 - no secret


def _reason(error: Exception) -> str:
    """Return why a request failed; the text of an error may have the URL in it."""
    cause = getattr(error, "reason", error)
    known = isinstance(cause, OSError) and cause.strerror
    return str(known or type(cause).__name__)


def _read(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _seconds(given: str | None) -> float | None:
    """Return the seconds that a `Retry-After` says, as a number or as a date; at most a day."""
    text = (given or "").strip()
    if text.isascii() and text.isdecimal():
        return min(_MAX_RETRY_AFTER, float(text[:9]))
    try:
        until = email.utils.parsedate_to_datetime(text)
        aware = until if until.tzinfo else until.replace(tzinfo=timezone.utc)
        wait = (aware - datetime.now(timezone.utc)).total_seconds()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return min(_MAX_RETRY_AFTER, max(0.0, wait))


def _carried(data: dict[Any, Any]) -> str:
    """Return data as JSON, in which what a history cannot hold is a string.

    Such are numbers beyond 64 bits or none at all, and bytes of a file's name that are not UTF-8.
    """
    held = json.loads(json.dumps(data, default=str), parse_int=_integer, parse_constant=str)
    return _SURROGATE.sub(
        lambda found: f"\\\\u{ord(found[0]):04x}", json.dumps(held, ensure_ascii=False)
    )


def _integer(text: str) -> int | str:
    number = int(text)
    return number if -_MAX_INTEGER <= number < _MAX_INTEGER else text


def seconds(text: str) -> float:
    """Return the seconds that an argument says; raise `ArgumentTypeError` for what no clock can wait."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        message = f"{text} is not a number of seconds: give 0 or more"
        raise argparse.ArgumentTypeError(message)
    return found


def _json(text: str) -> Any:
    """Return what a JSON text says, which has no key twice in one object."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        message = "it is nested too deeply"
        raise argparse.ArgumentTypeError(message) from None
    except ValueError as error:
        message = f"it is not JSON: {error}"
        raise argparse.ArgumentTypeError(message) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "a key stands twice in one object"
        raise argparse.ArgumentTypeError(message)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Report one event, as the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Report an event to a job.",
        epilog=f"Exit codes: 0 reported, {_REFUSED} refused, {_UNDELIVERED} not delivered.",
    )
    parser.add_argument("event", help="run, update, finish, fail ...")
    parser.add_argument("--data", type=_json, default={}, help="a JSON object")
    parser.add_argument("--event-id", default="", help="the key by which the event counts once")
    parser.add_argument(
        "--callback", help=f"by default {VARIABLE}, which no list of processes shows"
    )
    parser.add_argument(
        "--patience", type=seconds, default=PATIENCE, help="seconds to try (%(default)s)"
    )
    given = parser.parse_args(arguments)
    if not isinstance(given.data, dict):
        parser.error("--data is not a JSON object")
    try:
        job = Job.from_callback(given.callback, strict=True, patience=given.patience)
        job.send(given.event, given.data, event_id=given.event_id)
    except ReportError as error:
        sys.stderr.write(f"{error}\n")
        return _UNDELIVERED if isinstance(error, Undelivered) else _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
