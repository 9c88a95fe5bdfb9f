"""A proxy between a MongoDB driver and its server, which does to a command what a test asks for.

with Proxy(server.uri) as proxy:
    proxy.plan = lambda command: Fault.RESET_AFTER if command.writes("jobs") else None
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import bson

from tests.conftest import TIMEOUT

_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013
_MORE_TO_COME = 2
_FLAGS = struct.Struct("<I")
_GREETINGS = {"hello", "ismaster", "ping", "endSessions", "saslStart", "saslContinue"}
"""What a driver says for itself, which no fault is planned for."""
_NOT_PRIMARY = {"ok": 0.0, "errmsg": "not primary", "code": 10107, "codeName": "NotWritablePrimary"}
_DUPLICATE = {"code": 11000, "errmsg": "E11000 duplicate key error", "keyPattern": {"_id": 1}}


class Fault(Enum):
    """What becomes of a command; the last two wait until they are told to go on."""

    TIMEOUT_BEFORE = "no answer, not applied"
    TIMEOUT_AFTER = "no answer, applied"
    RESET_BEFORE = "connection lost, not applied"
    RESET_AFTER = "connection lost, applied"
    NOT_PRIMARY = "not primary"
    DUPLICATE_KEY = "duplicate key"
    HOLD_BEFORE = "held, and never applied"
    HOLD_AFTER = "applied, and held before it is answered"


class Command(NamedTuple):
    """A command on its way to the server."""

    name: str
    collection: str
    body: dict[str, Any]

    def writes(self, collection: str) -> bool:
        """Tell whether it changes documents of a collection."""
        return self.collection == collection and self.name in _WRITES


_WRITES = ("insert", "update", "delete", "findAndModify")
Plan = Callable[[Command], "Fault | None"]


class Proxy:
    """The proxy, from `with` to the end of the block.

    Args:
        uri: of the server.

    Attributes:
        plan: is asked about each command; None lets it pass.
        held: is set when a command waits.
        go_on: lets the commands that wait go on.
    """

    def __init__(self, uri: str) -> None:
        self.plan: Plan = lambda _command: None
        self.held, self.go_on = threading.Event(), threading.Event()
        self._uri = urlsplit(uri)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._sockets: list[socket.socket] = []

    @property
    def uri(self) -> str:
        """What clients connect to."""
        user, at, _ = self._uri.netloc.rpartition("@")
        port = self._listener.getsockname()[1]
        return self._uri._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()

    def __enter__(self) -> Proxy:  # noqa: PYI034 - Self is newer than Python 3.10
        self._threads[0].start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.go_on.set()
        for each in (self._listener, *self._sockets):
            _close(each)
        for thread in self._threads:
            thread.join(TIMEOUT)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed in the end
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((self._uri.hostname, self._uri.port))
                except OSError:
                    client.close()
                    continue
                self._sockets += [client, server]
                pair = _Pair(self, client, server)
                for carry in (pair.commands, pair.answers):
                    thread = threading.Thread(target=carry)
                    self._threads.append(thread)
                    thread.start()


class _Pair:
    """A connection of a client, and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._faults: dict[int, Fault] = {}
        self._unawaited: set[int] = set()

    def commands(self) -> None:
        with self._hanging_up():
            for number, _, frame in _frames(self._client):
                command, awaited = _command(frame)
                if not awaited:
                    # some servers misread the flag that says so: here, each command is answered
                    self._unawaited.add(number)
                    frame = _answerable(frame)  # noqa: PLW2901 - it goes on in its place
                fault = None
                if command is not None and command.name not in _GREETINGS:
                    fault = self._proxy.plan(command)
                if fault is Fault.HOLD_BEFORE:
                    self._hold()
                if fault in (Fault.HOLD_BEFORE, Fault.RESET_BEFORE):
                    return
                if fault in (Fault.NOT_PRIMARY, Fault.DUPLICATE_KEY):
                    if awaited and command is not None:
                        self._client.sendall(_refusal(fault, command, number))
                    continue
                if fault is Fault.TIMEOUT_BEFORE:
                    continue
                if fault is not None:
                    self._faults[number] = fault
                self._server.sendall(frame)

    def answers(self) -> None:
        with self._hanging_up():
            for _, number, frame in _frames(self._server):
                fault = self._faults.pop(number, None)
                if fault is Fault.RESET_AFTER:
                    return
                if fault is Fault.HOLD_AFTER:
                    self._hold()
                if fault is not Fault.TIMEOUT_AFTER and number not in self._unawaited:
                    self._client.sendall(frame)

    def _hold(self) -> None:
        self._proxy.held.set()
        self._proxy.go_on.wait(TIMEOUT)

    @contextlib.contextmanager
    def _hanging_up(self) -> Iterator[None]:
        try:
            with contextlib.suppress(OSError):
                yield
        finally:
            _close(self._client)
            _close(self._server)


def nth(number: int, fault: Fault) -> Plan:
    """Plan a fault for the n-th command, the first being number 1."""
    lock, seen = threading.Lock(), [0]

    def plan(_command: Command) -> Fault | None:
        with lock:
            seen[0] += 1
            return fault if seen[0] == number else None

    return plan


def _frames(source: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield each message with its number and the number that it answers."""
    while head := _read(source, _HEADER.size):
        size, number, answered, _ = _HEADER.unpack(head)
        yield number, answered, head + _read(source, size - _HEADER.size)


def _read(source: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        part = source.recv(count - len(content))
        if not part:
            return b""
        content += part
    return content


def _command(frame: bytes) -> tuple[Command | None, bool]:
    """Return the command in a message, and whether it is to be answered."""
    if _HEADER.unpack_from(frame)[3] != _OP_MSG:
        return None, True
    (flags,) = _FLAGS.unpack_from(frame, _HEADER.size)
    start = _HEADER.size + _FLAGS.size + 1
    (size,) = struct.unpack_from("<i", frame, start)
    body = bson.decode(frame[start : start + size])
    name = next(iter(body))
    return Command(name, str(body[name]), body), not flags & _MORE_TO_COME


def _answerable(frame: bytes) -> bytes:
    """Return a message without the flag that it wants no answer."""
    (flags,) = _FLAGS.unpack_from(frame, _HEADER.size)
    content = frame[_HEADER.size + _FLAGS.size :]
    return frame[: _HEADER.size] + _FLAGS.pack(flags & ~_MORE_TO_COME) + content


def _refusal(fault: Fault, command: Command, number: int) -> bytes:
    if fault is Fault.NOT_PRIMARY:
        body: dict[str, Any] = _NOT_PRIMARY
    elif command.name in ("insert", "update", "delete"):
        body = {"ok": 1.0, "n": 0, "nModified": 0, "writeErrors": [{"index": 0, **_DUPLICATE}]}
    else:
        body = {"ok": 0.0, **_DUPLICATE}
    content = _FLAGS.pack(0) + b"\0" + bson.encode(body)
    return _HEADER.pack(_HEADER.size + len(content), 1, number, _OP_MSG) + content


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
