"""The processes that run an actor's code: a fresh one per message, or one for message after message."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import psutil

from abaco.settings import find_program
from abaco.workers.environment import WORKER
from abaco.workers.host import LENGTH

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from abaco.settings import Image

HOST = Path(__file__).with_name("host.py")
READY_SECONDS = 60.0
_DIAGNOSIS_BYTES = 4096
_END_SECONDS = 1.0
_LARGEST_REPLY = 4096


class NotStarted(Exception):
    """The program of an image does not start; the text says why."""


class Ending(NamedTuple):
    """How the process of a message ended.

    Attributes:
        code: the exit code, or the negative number of the signal that ended it.
        cpu: processor time in nanoseconds.
    """

    code: int
    cpu: int = 0


class Process(Protocol):
    """Runs messages, one at a time."""

    async def prepare(self) -> None:
        """Make it ready for a message."""

    async def run(self, environment: Mapping[str, str], log: int) -> Ending:
        """Run one message; its output goes to the descriptor, which stays open here."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to what it started."""

    async def close(self) -> None:
        """End it, if it is there."""


class Cold:
    """A fresh process for each message."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._process: subprocess.Popen[bytes] | None = None

    async def prepare(self) -> None:
        """Look whether there is something to start.

        Raises:
            NotStarted: there is not.
        """
        if not self._image.folder.is_dir():
            message = f"its folder {self._image.folder} does not exist"
            raise NotStarted(message)
        program = find_program(self._image.command[0])
        if not os.access(self._image.folder / program, os.X_OK):
            message = f"its command {self._image.command[0]} is not found, or not executable"
            raise NotStarted(message)

    async def run(self, environment: Mapping[str, str], log: int) -> Ending:
        """Run one message.

        Raises:
            NotStarted: the program does not start.
        """
        command = [find_program(self._image.command[0]), *self._image.command[1:]]
        self._process = await asyncio.to_thread(
            _spawn, command, self._image.folder, environment, log
        )
        try:
            ending = await asyncio.to_thread(_wait, self._process)
        finally:
            # as with a container, what it left running ends with it
            _signal_group(self._process.pid, signal.SIGKILL)
            self._process = None
        return ending

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to what it started."""
        if self._process is not None:
            _signal_group(self._process.pid, number)

    async def close(self) -> None:
        """There is nothing between messages."""


class Warm:
    """One process for message after message (see `abaco.workers.host`)."""

    def __init__(self, image: Image, worker_id: str, growth_bytes: int) -> None:
        self._image = image
        self._worker_id = worker_id
        self._growth_bytes = growth_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._first_size = 0

    async def prepare(self) -> None:
        """Start the process and wait until it has imported the actor's code.

        Raises:
            NotStarted: it does not; the text ends with what it wrote last.
        """
        if self._process is not None:
            if self._process.poll() is None:
                return
            await self.close()
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        command = [sys.executable, str(HOST), str(theirs.fileno()), self._image.handler]
        environment = {"LANG": "C.UTF-8", **self._image.environment, WORKER: self._worker_id}
        try:
            self._process = await asyncio.to_thread(
                _spawn, command, self._image.folder, environment, writer, theirs.fileno()
            )
        except NotStarted:
            ours.close()
            os.close(reader)
            raise
        finally:
            theirs.close()
            os.close(writer)
        ours.setblocking(False)  # noqa: FBT003 - its signature
        self._control = ours
        self._first_size = 0
        try:
            reply = await asyncio.wait_for(self._receive(), READY_SECONDS)
            if reply is None:
                await self.close()
                message = f"{self._image.handler} cannot be imported: {_last_line(reader)}"
                raise NotStarted(message)
        except asyncio.TimeoutError:
            await self.close()
            message = f"{self._image.handler} is not imported within {READY_SECONDS:g} s"
            raise NotStarted(message) from None
        finally:
            os.close(reader)

    async def run(self, environment: Mapping[str, str], log: int) -> Ending:
        """Run one message.

        Raises:
            NotStarted: the process does not start.
        """
        await self.prepare()
        process, control = self._process, self._control
        if process is None or control is None:
            message = "it was closed"
            raise NotStarted(message)
        content = json.dumps({"environment": dict(environment)}).encode()
        loop = asyncio.get_running_loop()
        reply = None
        with contextlib.suppress(OSError):
            socket.send_fds(control, [LENGTH.pack(len(content))], [log])
            await loop.sock_sendall(control, content)
            reply = await self._receive()
        if reply is None:
            return await self._ended(process)
        if not reply["tidy"] or self._has_grown(process.pid):
            await self.close()
        return Ending(int(reply["exit_code"]), int(reply["cpu"]))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to what it started."""
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
            _signal_group(process.pid, signal.SIGKILL)
            if process.returncode is None:
                await asyncio.to_thread(_wait, process)

    async def _ended(self, process: subprocess.Popen[bytes]) -> Ending:
        """Return how a process ended that answers no more; one that goes on is ended."""
        waiting = asyncio.create_task(asyncio.to_thread(_wait, process))
        done, _ = await asyncio.wait({waiting}, timeout=_END_SECONDS)
        if not done:
            _signal_group(process.pid, signal.SIGKILL)
        ending = await waiting
        await self.close()
        return ending

    def _has_grown(self, pid: int) -> bool:
        try:
            size = int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return True
        self._first_size = self._first_size or size
        return size > self._first_size + self._growth_bytes

    async def _receive(self) -> dict[str, Any] | None:
        """Return the next answer; None where the process has ended instead."""
        content = await self._receive_bytes(LENGTH.size)
        if content is None:
            return None
        size = LENGTH.unpack(content)[0]
        if size > _LARGEST_REPLY:
            return None
        content = await self._receive_bytes(size)
        return None if content is None else json.loads(content)

    async def _receive_bytes(self, size: int) -> bytes | None:
        loop = asyncio.get_running_loop()
        content = bytearray()
        while len(content) < size:
            if self._control is None:
                return None
            try:
                part = await loop.sock_recv(self._control, size - len(content))
            except OSError:
                return None
            if not part:
                return None
            content += part
        return bytes(content)


def end_left(worker_ids: Container[str]) -> int:
    """End the processes that workers of an earlier gateway left; return their number.

    Args:
        worker_ids: the workers; their processes have the id in the environment.
    """
    ended = 0
    for process in psutil.process_iter():
        try:
            if process.environ().get(WORKER) in worker_ids:
                _signal_group(process.pid, signal.SIGKILL)
                process.kill()
                ended += 1
        except psutil.Error:
            continue
    return ended


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
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{command[0]} does not start in {folder}: {reason}"
        raise NotStarted(message) from error


def _last_line(reader: int) -> str:
    os.set_blocking(reader, False)
    text = bytearray()
    with contextlib.suppress(BlockingIOError):
        while part := os.read(reader, _DIAGNOSIS_BYTES):
            text = (text + part)[-_DIAGNOSIS_BYTES:]
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"


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
