"""A warm process: imports an actor's code once and calls it for message after message.

    python host.py DESCRIPTOR MODULE:FUNCTION

It stands alone, since it runs in the actor's interpreter. The descriptor is a stream socket to the
gateway. A message comes as four bytes of length, with the descriptor for its log, and a JSON object
`{"environment": {...}}`; what is answered is a length and `{"exit_code", "cpu", "tidy"}`, with the
processor time in nanoseconds. The first answer, before any message, is `{"ready": true}`.

Of one message nothing is left for the next but what the actor's modules keep: environment, working
directory, arguments, import path, file mode mask, signal handlers and timers are as they were, and
threads that go on do not write into another message's log.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import resource
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = struct.Struct(">I")
INTERRUPTED = 130
_OUTPUTS = (1, 2)
_LARGEST_CODE = 255


def main(descriptor: int, name: str) -> None:
    """Serve messages until the gateway is gone."""
    control = socket.socket(fileno=descriptor)
    sys.path[0] = str(os.getcwd())  # noqa: PTH109 - pathlib would be imported for nothing else
    module, _, function = name.partition(":")
    handler = getattr(importlib.import_module(module), function)
    start = State()
    silence()
    answer(control, {"ready": True})
    while True:
        head, descriptors, _, _ = socket.recv_fds(control, LENGTH.size, 1)
        if not head or not descriptors:
            return
        head += receive(control, LENGTH.size - len(head))
        request = json.loads(receive(control, LENGTH.unpack(head)[0]))
        reply = run(handler, request["environment"], descriptors[0])
        start.restore()
        answer(control, reply)


def run(handler: Callable[[], Any], environment: dict[str, str], log: int) -> dict[str, Any]:
    """Call the actor's function for one message."""
    before = cpu()
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    for output in _OUTPUTS:
        os.dup2(log, output)
    os.close(log)
    outsiders = {
        thread for thread in threading.enumerate() if thread is not threading.main_thread()
    }
    sys.stdout, sys.stderr = (Stream(output, outsiders) for output in _OUTPUTS)
    try:
        exit_code = code_of(handler())
    except SystemExit as error:
        exit_code = code_of(error.code)
    except KeyboardInterrupt:
        exit_code = INTERRUPTED
    except BaseException:  # noqa: BLE001 - whatever it is, it ends one message, not the worker
        traceback.print_exc()
        exit_code = 1
    lingering = {
        thread
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread()
    }
    silence()
    tidy = not lingering and not has_children()
    return {"exit_code": exit_code, "cpu": cpu() - before, "tidy": tidy}


def code_of(result: object) -> int:
    """Return the exit code that the interpreter would make of a value."""
    if result is None:
        return 0
    if isinstance(result, int):
        return result & _LARGEST_CODE
    print(result, file=sys.stderr)  # noqa: T201 - what the interpreter does with it
    return 1


class Stream(io.TextIOWrapper):
    """Standard output or error of one message; what threads of earlier ones write is dropped."""

    def __init__(self, descriptor: int, outsiders: set[threading.Thread]) -> None:
        super().__init__(
            io.FileIO(os.dup(descriptor), "w"),
            encoding="utf-8",
            errors="backslashreplace",
            write_through=True,
        )
        self._outsiders = outsiders

    def write(self, text: str) -> int:
        """Write a text, unless it comes from a thread that another message left."""
        if threading.current_thread() in self._outsiders:
            return len(text)
        return super().write(text)


def silence() -> None:
    """Let go of the message's log."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.close()
        except (OSError, ValueError):
            continue
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in _OUTPUTS:
        os.dup2(nowhere, output)
    os.close(nowhere)
    sys.stdout, sys.stderr = (Stream(output, set()) for output in _OUTPUTS)


class State:
    """What a message may change of the process, as it was before the first one."""

    def __init__(self) -> None:
        self._folder = os.getcwd()  # noqa: PTH109 - pathlib would be imported for nothing else
        self._arguments = [sys.argv[0]]
        self._path = list(sys.path)
        self._mask = os.umask(0)
        os.umask(self._mask)
        self._handlers = {
            number: signal.getsignal(number)
            for number in signal.valid_signals()
            if number not in (signal.SIGKILL, signal.SIGSTOP)
        }
        self.restore()

    def restore(self) -> None:
        """Make it so again."""
        os.environ.clear()
        os.chdir(self._folder)
        sys.argv[:] = self._arguments
        sys.path[:] = self._path
        os.umask(self._mask)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def has_children() -> bool:
    """Tell whether the message left processes behind."""
    try:
        while True:
            ended, _ = os.waitpid(-1, os.WNOHANG)
            if ended == 0:
                return True
    except ChildProcessError:
        return False


def cpu() -> int:
    """Return the processor time so far, of children that have ended too, in nanoseconds."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return int(sum(usage.ru_utime + usage.ru_stime for usage in usages) * 1e9)


def receive(control: socket.socket, size: int) -> bytes:
    """Return so many bytes from the gateway."""
    parts = bytearray()
    while len(parts) < size:
        part = control.recv(size - len(parts))
        if not part:
            raise SystemExit
        parts += part
    return bytes(parts)


def answer(control: socket.socket, reply: dict[str, Any]) -> None:
    """Tell the gateway something."""
    content = json.dumps(reply).encode()
    try:
        control.sendall(LENGTH.pack(len(content)) + content)
    except OSError:
        raise SystemExit from None


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
