"""The processes that run an actor's code: a fresh one per message, or one for message after message."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import psutil

from abaco.images import find_program
from abaco.workers import threads
from abaco.workers.environment import GATEWAY, WORKER
from abaco.workers.host import LENGTH
from abaco.workers.workspace import prefix

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import BinaryIO

    from abaco.images import Image
    from abaco.workers.workspace import LogPipe

HOST = Path(__file__).with_name("host.py")
KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""How a process ends that somebody kills."""
SHORTAGES = (
    errno.EAGAIN,
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
)
"""What passes, and is not the fault of an actor."""
READY_SECONDS = 60.0
_MAX_CODE = 255
_MAX_STARTS = 10
_END_SECONDS = 5.0
_DIAGNOSIS_BYTES = 4096
_LOOKS = 20
_LOOK_SECONDS = 0.005
_MAX_REPLY = 4 * 1024 * 1024


class NotStarted(Exception):
    """The program of an image does not start; the text says why."""


class Ending(NamedTuple):
    """How the process of a message ended.

    Attributes:
        code: the exit code, or the negative number of the signal that ended it.
        cpu: processor time in nanoseconds.
        goes_on: whether the process is there for the next message.
        clean: whether, then, nothing of this one is left: no thread, no process, no file in its folder.
        io: bytes that it has received over a network of its own.
        out_of_memory: whether it was ended since it used more memory than it may.
    """

    code: int
    cpu: int = 0
    goes_on: bool = False
    clean: bool = False
    io: int = 0
    out_of_memory: bool = False


class Handled(NamedTuple):
    """What a process says of a message that it has handled with others.

    Attributes:
        code: the exit code.
        log: what it wrote.
        results: what a caller who waits is answered.
    """

    code: int
    log: bytes
    results: list[bytes]


class Process(Protocol):
    """Runs messages, one at a time."""

    async def prepare(self) -> None:
        """Make it ready for a message."""

    async def run(self, environment: Mapping[str, str], log: LogPipe) -> Ending:
        """Run one message; its output goes to the log."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to what it started."""

    async def close(self) -> None:
        """End it, if it is there."""


class Cold:
    """A fresh process for each message."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._process: subprocess.Popen[bytes] | None = None
        self._early: signal.Signals | None = None

    async def prepare(self) -> None:
        """Look whether there is something to start.

        Raises:
            NotStarted: there is not.
        """
        await threads.run(self._check)

    def _check(self) -> None:
        if not self._image.folder.is_dir():
            message = f"its folder {self._image.folder} does not exist"
            raise NotStarted(message)
        program = find_program(self._image.command[0])
        if not os.access(self._image.folder / program, os.X_OK):
            message = f"its command {self._image.command[0]} is not found, or not executable"
            raise NotStarted(message)

    async def run(self, environment: Mapping[str, str], log: LogPipe) -> Ending:
        """Run one message.

        Raises:
            NotStarted: the program does not start.
        """
        self._early = None
        known, process = await threads.run(self._begin, environment, log.descriptor)
        self._process = process
        if self._early is not None:
            self.signal(self._early)
        try:
            ending = await threads.wait(_wait, process)
        finally:
            # as with a container, what it left running ends with it
            _signal_group(process.pid, signal.SIGKILL)
            self._process = None
            await threads.run(end_left, WORKER, environment[WORKER], known)
        return ending

    def _begin(
        self, environment: Mapping[str, str], log: int
    ) -> tuple[frozenset[int], subprocess.Popen[bytes]]:
        command = [find_program(self._image.command[0]), *self._image.command[1:]]
        return frozenset(psutil.pids()), _spawn(command, self._image.folder, environment, log)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to what it started, also if it is just being started."""
        if self._process is None:
            self._early = number
        else:
            _signal_group(self._process.pid, number)

    async def close(self) -> None:
        """There is nothing between messages."""


class Warm:
    """One process for message after message (see `abaco.workers.host`)."""

    def __init__(self, image: Image, worker_id: str, data: Path, growth_bytes: int) -> None:
        self._image = image
        self._worker_id = worker_id
        self._gateway = prefix(data)
        self._growth_bytes = growth_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._control: _Control | None = None
        self._log: LogPipe | None = None
        """the one that the process has"""
        self._signalled: signal.Signals | None = None
        self._first_size = 0

    async def prepare(self) -> None:
        """Start the process and wait until it has imported the actor's code.

        One that is killed from outside meanwhile is started again.

        Raises:
            NotStarted: it does not; the text ends with what it wrote last.
        """
        if self._process is not None:
            if self._process.poll() is None:
                return
            await self.close()
        for _ in range(_MAX_STARTS):
            if await self._start():
                return
        message = f"{self._image.handler}: the process was killed {_MAX_STARTS} times at its start"
        raise NotStarted(message)

    async def _start(self) -> bool:
        """Start the process; tell whether it is there, rather than killed from outside."""
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as output:
            command = [sys.executable, str(HOST), str(theirs.fileno()), self._image.handler]
            command += [self._image.batch] if self._image.batch else []
            own = {WORKER: self._worker_id, GATEWAY: self._gateway}
            environment = {"LANG": "C.UTF-8", **self._image.environment, **own}
            try:
                self._process = await threads.run(
                    _spawn,
                    command,
                    self._image.folder,
                    environment,
                    output.fileno(),
                    theirs.fileno(),
                )
            except NotStarted:
                ours.close()
                raise
            theirs.close()
            self._control = await _Control.open(ours)
            self._log = None
            self._first_size = 0
            if self._signalled is not None:
                self.signal(self._signalled)
            return await self._is_imported(self._process, self._control, output)

    async def _is_imported(
        self, process: subprocess.Popen[bytes], control: _Control, output: BinaryIO
    ) -> bool:
        try:
            reply = await asyncio.wait_for(control.receive(), READY_SECONDS)
        except asyncio.TimeoutError:
            await self.close()
            message = f"{self._image.handler} is not imported within {READY_SECONDS:g} s"
            raise NotStarted(message) from None
        if reply is None:
            ending = asyncio.create_task(threads.wait(_wait, process))
            ended, _ = await asyncio.wait({ending}, timeout=_END_SECONDS)
            killed = bool(ended) and ending.result().code in KILLED
            await self.close()
            await ending
            if killed and self._signalled is None:
                return False
            message = f"{self._image.handler} cannot be imported: {_last_line(output)}"
            raise NotStarted(message)
        return True

    async def run(self, environment: Mapping[str, str], log: LogPipe) -> Ending:
        """Run one message.

        Raises:
            NotStarted: the process does not start.
        """
        ending, _ = await self._run({"environment": dict(environment)}, log)
        return ending

    async def run_batch(
        self, environments: Sequence[Mapping[str, str]], log: LogPipe
    ) -> tuple[Ending, list[Handled | None] | None]:
        """Run several messages together.

        Returns:
            How it ended, and what became of those at the beginning, None for each that was not
            handled; None where nobody knows.

        Raises:
            NotStarted: the process does not start.
        """
        request = {"environments": [dict(environment) for environment in environments]}
        ending, reply = await self._run(request, log)
        return ending, _handled(reply.get("ends"), len(environments))

    async def _run(self, request: dict[str, Any], log: LogPipe) -> tuple[Ending, dict[str, Any]]:
        self._signalled = None
        await self.prepare()
        process, control = self._process, self._control
        if process is None or control is None:
            message = "it was closed"
            raise NotStarted(message)
        descriptor = None if log is self._log else log.descriptor
        await control.send(request, descriptor)
        self._log = log
        reply = await control.receive()
        if reply is None:
            # it has ended, or closed what it answers by, or become another program
            return await self._end_of(process), {}
        try:
            goes_on = bool(reply["tidy"]) and not self._has_grown(int(reply["memory"]))
            clean = goes_on and bool(reply["clean"])
            ending = Ending(int(reply.get("exit_code", 0)), int(reply["cpu"]), goes_on, clean)
        except (KeyError, TypeError, ValueError):
            # the actor has answered in the place of its host
            ending, reply = Ending(-signal.SIGKILL), {}
        if not ending.goes_on:
            await self.close()
        return ending, reply

    async def _end_of(self, process: subprocess.Popen[bytes]) -> Ending:
        ending = await threads.wait(_wait, process)
        await self.close()
        return ending

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to what it started, also if it is just being started."""
        self._signalled = number
        if self._process is not None:
            _signal_group(self._process.pid, number)

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if self._control is not None:
            self._control.close()
            self._control = None
        if process is not None:
            # as with a container, what it left running ends with it
            await threads.run(_kill_all, process)
            if process.returncode is None:
                await threads.wait(_wait, process)
            await threads.run(end_left, WORKER, self._worker_id)

    def _has_grown(self, memory: int) -> bool:
        """Tell whether a message left much memory in use."""
        self._first_size = self._first_size or memory
        return memory > self._first_size + self._growth_bytes


class _Control(asyncio.Protocol):
    """The gateway's end of the connection to a warm process."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected.dup()
        self._socket.setblocking(False)  # noqa: FBT003 - its signature
        self._transport: asyncio.Transport | None = None
        self._content = bytearray()
        self._replies: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    @classmethod
    async def open(cls, connected: socket.socket) -> _Control:
        """Read from a socket from now on, which is closed with the connection."""
        loop, control = asyncio.get_running_loop(), cls(connected)
        await loop.create_unix_connection(lambda: control, sock=connected)
        return control

    async def send(self, request: dict[str, Any], descriptor: int | None) -> None:
        """Send a request, and a descriptor with it; to a process that has ended, nothing is sent."""
        content = json.dumps(request).encode()
        content = LENGTH.pack(len(content)) + content
        descriptors = [] if descriptor is None else [descriptor]
        with contextlib.suppress(OSError):
            sent = socket.send_fds(self._socket, [content], descriptors)
            if sent < len(content) and self._transport is not None:
                self._transport.write(content[sent:])

    async def receive(self) -> dict[str, Any] | None:
        """Return the next answer; None where the process has ended, or closed its end, instead."""
        return await self._replies.get()

    def close(self) -> None:
        """Close the connection; who waits for an answer gets none."""
        self._socket.close()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take notice that the connection is read from."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its signature
        """Take notice that no further answer comes."""
        self._socket.close()
        self._transport = None
        self._replies.put_nowait(None)

    def data_received(self, data: bytes) -> None:
        """Take what has come of an answer."""
        self._content += data
        size = LENGTH.unpack_from(self._content)[0] if len(self._content) >= LENGTH.size else 0
        if size > _MAX_REPLY:
            self.close()
        elif size and len(self._content) >= LENGTH.size + size:
            reply = json.loads(self._content[LENGTH.size : LENGTH.size + size])
            del self._content[: LENGTH.size + size]
            self._replies.put_nowait(reply)


def _handled(ends: Any, most: int) -> list[Handled | None] | None:
    """Return what an actor's function says of the messages it was given, None if it is not that."""
    try:
        handled = [None if end is None else _handled_one(*end) for end in ends]
    except (TypeError, ValueError, OverflowError):
        return None
    return handled if len(handled) <= most else None


def _handled_one(code: Any, log: Any, results: Any) -> Handled:
    return Handled(
        int(code) & _MAX_CODE,
        str(log).encode(errors="replace"),
        [str(result).encode(errors="replace") for result in results],
    )


def end_left(variable: str, value: str, known: Collection[int] = ()) -> int:
    """End the processes that have a variable in their environment; return their number.

    Args:
        variable: its name.
        value: its value.
        known: processes that were there before.
    """
    ended, entry = 0, f"{variable}={value}".encode()
    for pid in psutil.pids():
        if pid in known or not _may_have(pid, entry):
            continue
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if _environment_of(process).get(variable) == value:
                _signal_group(pid, signal.SIGKILL)
                process.kill()
                ended += 1
    return ended


def _may_have(pid: int, entry: bytes) -> bool:
    """Tell whether a process may have an entry in its environment, in a fraction of the time of psutil.

    It may, too, where its environment is empty or cannot be read.
    """
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - it is read for each process
            environment = file.read()
    except ProcessLookupError:
        # it has ended, or is the kernel's
        return False
    except OSError:
        return True
    return not environment or entry in environment.split(b"\0")


def _environment_of(process: psutil.Process) -> dict[str, str]:
    """Return the environment of a process; empty for one that has written its title over it."""
    for _ in range(_LOOKS):
        environment = process.environ()
        if environment or process.cmdline() or not process.exe():
            break
        # it is just becoming a program, and has neither arguments nor an environment yet
        time.sleep(_LOOK_SECONDS)
    # it may have got both between the two looks
    return environment or process.environ()


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, its group, and what descends from it."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    _signal_group(process.pid, signal.SIGKILL)


def _spawn(
    command: list[str],
    folder: Path,
    environment: Mapping[str, str],
    log: int,
    *inherited: int,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - what images.yml says is run
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=inherited,
        )
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in SHORTAGES:
            raise
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{command[0]} does not start in {folder}: {reason}"
        raise NotStarted(message) from error


def _last_line(output: BinaryIO) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _DIAGNOSIS_BYTES))
    lines = output.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without any output"


def _wait(process: subprocess.Popen[bytes]) -> Ending:
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except ChildProcessError:
        return Ending(process.wait())
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ending(process.returncode, int((usage.ru_utime + usage.ru_stime) * 1e9))


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
