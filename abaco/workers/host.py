"""A warm process: imports an actor's code once and calls it for message after message.

    python host.py DESCRIPTOR MODULE:FUNCTION [MODULE:FUNCTION]

It stands alone, since it runs in the actor's interpreter. The descriptor is a stream socket to the
gateway. A message comes as four bytes of length, with the descriptor for its log unless that is the
last one's, and a JSON object `{"environment": {...}}`; what is answered is a length and
`{"exit_code", "cpu", "tidy", "clean", "memory"}`: the processor time in nanoseconds, whether the
message left neither processes nor threads that the interpreter would wait for, whether it left no
thread at all and no file in its folder either, and the bytes of memory in use. The first answer,
before any message, is `{"ready": true}`.

Several messages come as `{"environments": [...]}`. They are handed to the second function together, and what
is answered is `{"ends", "cpu", "tidy", "clean", "memory"}`: exit code, log and results of those at the
beginning, each null where it has not handled it; or null where it failed and nobody knows.

Of one message nothing is left for the next but what the actor's modules keep: environment, working
directory, arguments, import path, file mode mask, signal handlers, blocked signals and timers are as
they were, and threads that go on do not write into another message's log.

An actor may close the descriptor, or become another program: then its end is the message's end.
"""

from __future__ import annotations

import contextlib
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
from _signal import getsignal  # without the enum of the public one
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = struct.Struct(">I")
_DESCRIPTOR = struct.Struct("i")
READ_BYTES = 65_536
_OUTPUTS = (1, 2)
_MAX_CODE = 255
_SET_CHILD_SUBREAPER = 36
_PRIVATE = 0o700


def main(descriptor: int, *names: str) -> None:
    """Serve messages until the gateway is gone."""
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    sys.path[0] = str(os.getcwd())  # noqa: PTH109 - pathlib would be imported for nothing else
    adopt_orphans()
    # before the import, since it may make loggers
    outputs = Outputs()
    handlers = [find(name) for name in names]
    start = State()
    outputs.close()
    answer(control, {"ready": True})
    inlet = Inlet(control)
    while True:
        content, descriptors = inlet.receive()
        if content is None:
            return
        request = json.loads(content)
        outputs.open(*descriptors)
        if "environments" in request:
            reply = run_batch(handlers[1], request["environments"], outputs)
        else:
            reply = run(handlers[0], request["environment"], outputs)
        outputs.close()
        start.restore()
        answer(control, reply)


def find(name: str) -> Callable[..., Any]:
    """Return a function of the actor's, imported by `module:function`."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def run(
    handler: Callable[[], Any], environment: dict[str, str], outputs: Outputs
) -> dict[str, Any]:
    """Call the actor's function for one message."""
    before, known = begin(environment)
    said = ""
    try:
        result = handler()
    except SystemExit as error:
        result = error.code
    except KeyboardInterrupt:
        result = 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001 - whatever it is, it ends one message, not the worker
        result, said = 1, traceback.format_exc()
    exit_code, last = code_of(result)
    outputs.complain(said + last)
    return {"exit_code": exit_code, **left(before, known, environment)}


def run_batch(
    handler: Callable[[list[dict[str, str]]], Any],
    environments: list[dict[str, str]],
    outputs: Outputs,
) -> dict[str, Any]:
    """Call the actor's function for several messages."""
    before, known = begin(environments[0])
    ends = None
    try:
        ends = handler(environments)
    except BaseException:  # noqa: BLE001 - whatever it is, each message is handled by itself then
        outputs.complain(traceback.format_exc())
    return {"ends": ends, **left(before, known, environments[0])}


def begin(environment: dict[str, str]) -> tuple[int, set[threading.Thread]]:
    """Give the process the environment of a message; return the processor time, and the threads."""
    before, known = cpu(), set(threading.enumerate())
    # in a third of the time that `clear` takes
    for name in [*os.environ]:
        if name not in environment:
            del os.environ[name]
    # each is set, since a library may have changed one without this dictionary
    os.environ.update(environment)
    time.tzset()
    return before, known


def left(before: int, known: set[threading.Thread], environment: dict[str, str]) -> dict[str, Any]:
    """Return what a message has used and left behind."""
    threads = set(threading.enumerate())
    lingering = {
        thread for thread in threads if not thread.daemon and thread is not threading.main_thread()
    }
    tidy = not lingering and not has_children()
    return {
        "cpu": cpu() - before,
        "tidy": tidy,
        "clean": tidy and threads <= known and is_new(environment),
        "memory": memory(),
    }


def code_of(result: object) -> tuple[int, str]:
    """Return the exit code that the interpreter would make of a value, and what it would print."""
    if result is None:
        return 0, ""
    if isinstance(result, int):
        return result & _MAX_CODE, ""
    return 1, f"{result}\n"


class _Output(io.FileIO):
    """A descriptor that is one pipe after the other, of which none can be sought in."""

    def seekable(self) -> bool:
        return False


class Stream(io.TextIOWrapper):
    """Standard output or error; what threads of earlier messages write is dropped."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(
            _Output(descriptor, "w", closefd=False),
            encoding="utf-8",
            errors="backslashreplace",
            write_through=True,
        )
        self.outsiders: set[threading.Thread] = set()

    def write(self, text: str) -> int:
        """Write text, unless it comes from a thread that another message left."""
        if threading.current_thread() in self.outsiders:
            return len(text)
        return super().write(text)

    @property
    def usable(self) -> bool:
        """Whether the actor has neither closed nor taken it apart."""
        try:
            return not self.closed
        except ValueError:
            return False


class Outputs:
    """Standard output and error: the same for all messages, so that a logger goes on as it was made."""

    def __init__(self) -> None:
        self._streams = [Stream(output) for output in _OUTPUTS]
        self._nowhere = os.open(os.devnull, os.O_WRONLY)
        self._log = self._nowhere
        self._install()

    def open(self, log: int | None = None) -> None:
        """Let all that is written from now on go into a message's log, by default the last one's."""
        if log is not None:
            if self._log != self._nowhere:
                os.close(self._log)
            os.set_inheritable(log, False)  # noqa: FBT003 - its signature
            self._log = log
        self._redirect(self._log)
        self._streams = [
            stream if stream.usable else Stream(output)
            for stream, output in zip(self._streams, _OUTPUTS, strict=True)
        ]
        self._install()
        main = threading.main_thread()
        outsiders = {thread for thread in threading.enumerate() if thread is not main}
        for stream in self._streams:
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", write_through=True)
            stream.outsiders = outsiders

    def complain(self, text: str) -> None:
        """Write to standard error, whatever the actor has made of it."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        with contextlib.suppress(OSError):
            os.write(_OUTPUTS[1], text.encode(errors="backslashreplace"))

    def close(self) -> None:
        """Let go of the message's log."""
        try:
            self._redirect(self._nowhere)
        except OSError:
            # the actor has closed all descriptors
            self._nowhere = os.open(os.devnull, os.O_WRONLY)
            self._redirect(self._nowhere)

    def _install(self) -> None:
        output, errors = self._streams
        vars(sys).update(stdout=output, stderr=errors, __stdout__=output, __stderr__=errors)

    @staticmethod
    def _redirect(descriptor: int) -> None:
        for output in _OUTPUTS:
            os.dup2(descriptor, output)


class State:
    """What a message may change of the process, as it was before the first one."""

    def __init__(self) -> None:
        self._folder = os.getcwd()  # noqa: PTH109 - pathlib would be imported for nothing else
        self._arguments = [sys.argv[0]]
        self._path = list(sys.path)
        self._mask = os.umask(0)
        os.umask(self._mask)
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._environment = os.environ
        self._handlers = {
            number: getsignal(number)
            for number in signal.valid_signals()
            if number not in (signal.SIGKILL, signal.SIGSTOP)
        }
        self.restore()

    def restore(self) -> None:
        """Make it so again."""
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        os.environ = self._environment  # noqa: B003 - it is the same object
        os.chdir(self._folder)
        sys.argv[:] = self._arguments
        sys.path[:] = self._path
        os.umask(self._mask)
        for number, handler in self._handlers.items():
            if handler is not None and getsignal(number) is not handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)


def has_children() -> bool:
    """Tell whether the message left processes behind."""
    try:
        while True:
            ended, _ = os.waitpid(-1, os.WNOHANG)
            if ended == 0:
                return True
    except ChildProcessError:
        return False


def is_new(environment: dict[str, str]) -> bool:
    """Tell whether the folder of the message is as it was made, with the socket for results in it."""
    folder, _, results = environment["_abaco_results_socket"].rpartition("/")
    try:
        return os.listdir(folder) == [results] and os.stat(folder).st_mode & 0o777 == _PRIVATE  # noqa: PTH116, PTH208 - pathlib would be imported for nothing else
    except OSError:
        return False


def adopt_orphans() -> None:
    """Become the parent of processes whose parents end, so that none of them goes unnoticed.

    Only Linux can do this (prctl(2), PR_SET_CHILD_SUBREAPER).
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - Linux only

        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def memory() -> int:
    """Return how many bytes are in use, on other systems than Linux at most so far."""
    try:
        # without a file object, in a third of the time
        descriptor = os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        return int(os.read(descriptor, READ_BYTES).split()[1]) * resource.getpagesize()
    finally:
        os.close(descriptor)


def cpu() -> int:
    """Return the processor time so far, of children that have ended too, in nanoseconds."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return int(sum(usage.ru_utime + usage.ru_stime for usage in usages) * 1e9)


class Inlet:
    """What comes from the gateway.

    It is read into one buffer. A new one for each message, cut to what has come, would leave a gap that
    is too small for the next one, and the process would grow by the size of each message.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._buffer = bytearray(READ_BYTES)

    def receive(self) -> tuple[bytes | None, list[int]]:
        """Return the next message without its length, and its descriptors; None at the end."""
        room = socket.CMSG_LEN(_DESCRIPTOR.size)
        count, passed, _, _ = self._control.recvmsg_into([self._buffer], room)
        descriptors = [
            _DESCRIPTOR.unpack(data)[0]
            for level, kind, data in passed
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        ]
        if not count:
            return None, descriptors
        count = self._fill(count, LENGTH.size)
        size = LENGTH.size + LENGTH.unpack_from(self._buffer)[0]
        if size > len(self._buffer):
            self._buffer.extend(bytes(size - len(self._buffer)))
        self._fill(count, size)
        content = bytes(memoryview(self._buffer)[LENGTH.size : size])
        del self._buffer[READ_BYTES:]
        return content, descriptors

    def _fill(self, count: int, size: int) -> int:
        """Read until so many bytes are there; return how many are."""
        while count < size:
            with memoryview(self._buffer)[count:size] as rest:
                more = self._control.recv_into(rest)
            if not more:
                raise SystemExit
            count += more
        return count


def answer(control: socket.socket, reply: dict[str, Any]) -> None:
    """Tell the gateway something; where it cannot be told, the exit code says how the message ended."""
    content = json.dumps(reply).encode()
    try:
        control.sendall(LENGTH.pack(len(content)) + content)
    except OSError:
        os._exit(reply.get("exit_code", 0))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
