"""What an execution has for itself: a folder, the results socket, the FIFO, the log (spec: abaco-v2, 2.2)."""

from __future__ import annotations

import array
import asyncio
import codecs
import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import stat
import tempfile
import termios
from pathlib import Path
from typing import TYPE_CHECKING

from abaco.store import executions
from abaco.workers import threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from abaco.store.executions import Message

RESULT_BYTES = 131_072
_TRUNCATED = " LOG LIMIT EXCEEDED; this execution log was TRUNCATED!"
_READ_BYTES = 65_536
_PIPE_BYTES = 1_048_576
_POLL_SECONDS = 0.05
_AT_ONCE = 64
_PRIVATE = 0o700


class Log:
    """The text that a process writes into a pipe, up to a limit; read while it comes.

    Attributes:
        descriptor: the end of the pipe for the process; closed here by `handed_over`.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._parts: list[str] = []
        self._size = 0
        self._ended = asyncio.Event()
        self._reader, self.descriptor = os.pipe()
        os.set_blocking(self._reader, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reader, self._read)

    @property
    def text(self) -> str:
        """What has been written so far."""
        text = "".join(self._parts)
        return text if self._size <= self._limit else text + _TRUNCATED

    def note(self, line: str) -> None:
        """Add a line of the gateway's own."""
        start = "" if not self._size or self.text.endswith("\n") else "\n"
        self._add(f"{start}[abaco] {line}\n")

    def handed_over(self) -> None:
        """Close the process's end here, so that the end of the process is the end of the log."""
        with contextlib.suppress(OSError):
            os.close(self.descriptor)

    async def close(self, seconds: float) -> None:
        """Wait until all has been read, or for some seconds, then stop reading."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        if not self._ended.is_set():
            self._stop()

    def _read(self) -> None:
        try:
            content = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return
        self._add(self._decoder.decode(content, final=not content))
        if not content:
            self._stop()

    def _stop(self) -> None:
        self._loop.remove_reader(self._reader)
        os.close(self._reader)
        self._ended.set()

    def _add(self, text: str) -> None:
        room = self._limit - self._size
        if room > 0 and text:
            self._parts.append(text[:room])
        self._size += len(text)


class Results:
    """The datagram socket to which an actor sends results."""

    def __init__(self, bound: socket.socket, keep: Callable[[bytes], None]) -> None:
        self._keep = keep
        self._socket = bound
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * RESULT_BYTES)
        self._socket.setblocking(False)  # noqa: FBT003 - its signature
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        """Take what has arrived, then stop."""
        for _ in range(_AT_ONCE):
            self._read()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        # bounded, since an actor may send faster than this reads
        with contextlib.suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                self._keep(self._socket.recv(RESULT_BYTES))


class Fifo:
    """The named pipe through which an actor reads a binary message, followed by its end."""

    def __init__(self, path: Path, message: bytes) -> None:
        os.mkfifo(path, 0o600)
        self._path = path
        # both ends are open here, so that nothing is lost before the process opens it
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(AttributeError, OSError):
            # where it can be larger, most messages are in it before the process begins
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._rest = memoryview(message)
        self._write()
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def close(self) -> None:
        """Stop; what has not been read is dropped."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._end()
        os.close(self._reader)

    async def _serve(self) -> None:
        while self._rest or self._unread():
            await asyncio.sleep(_POLL_SECONDS if not self._rest else _POLL_SECONDS / 10)
            self._write()
        self._end()
        while True:
            # who opens it only now is waiting for a writer, and finds the end
            os.close(os.open(self._path, os.O_WRONLY | os.O_NONBLOCK))
            await asyncio.sleep(_POLL_SECONDS)

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._rest:
                self._rest = self._rest[os.write(self._writer, self._rest) :]

    def _unread(self) -> int:
        count = array.array("i", [0])
        fcntl.ioctl(self._reader, termios.FIONREAD, count)
        return count[0]

    def _end(self) -> None:
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1


def prefix(data: Path) -> str:
    """Return what the folders of a gateway's executions begin with, told by its data folder."""
    return f"abaco-{hashlib.sha256(str(data).encode()).hexdigest()[:8]}-"


def remove_left(data: Path) -> None:
    """Remove the folders that an earlier gateway left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix(data)}*"):
        shutil.rmtree(folder, ignore_errors=True)


class Workspace:
    """The folder of a worker, in which its executions are one after the other.

    What one leaves in it is gone before the next begins, and who has the path of its results socket
    reaches no later one.

    Args:
        data: the data folder of the gateway.
    """

    def __init__(self, data: Path) -> None:
        self.prefix = prefix(data)
        self.folder = Path()
        self.results_path = Path()
        self.fifo_path: Path | None = None
        self._number = 0
        self._bound: socket.socket | None = None
        self._results: Results | None = None
        self._fifo: Fifo | None = None

    async def open(self, keep_result: Callable[[bytes], None], message: Message) -> None:
        """Make what the next process sends results to and reads the message from.

        Raises:
            OSError: the disk is full, or the path of temporary files is too long for a socket.
        """
        if self._bound is None:
            self._bound = await threads.run(self._renew)
        self._results, self._bound = Results(self._bound, keep_result), None
        if message.content_type == executions.BINARY:
            self.fifo_path = self.folder / f"binary-{self._number}"
            self._fifo = Fifo(self.fifo_path, message.body)

    async def leave(self) -> None:
        """Take the last results, and make the folder ready for the next execution."""
        if self._results is not None:
            self._results.close()
            self._results = None
        if self._fifo is not None:
            await self._fifo.close()
            self._fifo, self.fifo_path = None, None
        if self._bound is None:
            with contextlib.suppress(OSError):
                # it is tried again when there is a message
                self._bound = await threads.run(self._renew)

    async def close(self) -> None:
        """Remove the folder."""
        if self._bound is not None:
            self._bound.close()
            self._bound = None
        if self.folder != Path():
            await threads.run(shutil.rmtree, self.folder, ignore_errors=True)

    def _renew(self) -> socket.socket:
        """Return the socket of the next results, in an empty folder."""
        if self.folder == Path() or not _emptied(self.folder, self.results_path):
            if self.folder != Path():
                shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = Path(tempfile.mkdtemp(prefix=self.prefix))
        self._number += 1
        self.results_path = self.folder / f"results-{self._number}.sock"
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            bound.bind(str(self.results_path))
        except OSError as error:
            bound.close()
            if error.errno is not None:
                raise
            message = (
                f"{self.results_path} is too long for a socket: let TMPDIR name another folder"
            )
            raise OSError(message) from error
        return bound


def _emptied(folder: Path, known: Path) -> bool:
    """Remove a socket from a folder; tell whether the folder is as new then."""
    try:
        if stat.S_IMODE(folder.stat().st_mode) != _PRIVATE:
            return False
        with os.scandir(folder) as found:
            names = [entry.name for entry in found]
        if names != [known.name]:
            return not names
        known.unlink()
    except OSError:
        return False
    return True
