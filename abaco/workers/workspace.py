"""What an execution has for itself: a folder, the results socket, the FIFO, the log.

The rules are in docs/reference/abaco.md#results-binary-messages-and-logs.
"""

from __future__ import annotations

import array
import asyncio
import codecs
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

from abaco.store import executions
from abaco.workers import threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from abaco.store.executions import Message

RESULT_BYTES = 131_072
UNUSED_SECONDS = 3600.0
"""After which a folder that was not used is looked for, before it is used again."""
_TRUNCATED = " LOG LIMIT EXCEEDED; this execution log was TRUNCATED!"
_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""What stands for bytes that are not valid UTF-8."""
_READ_BYTES = 65_536
_PIPE_BYTES = 1_048_576
_POLL_SECONDS = 0.05
_AT_ONCE = 64
_PRIVATE = 0o700
_SOCKET = re.compile(r"results-\d+\.sock")


class Log:
    """The text that a process writes, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._parts: list[str] = []
        self._size = 0

    @property
    def text(self) -> str:
        """What has been written so far."""
        text = "".join(self._parts)
        return text if self._size <= self._limit else text + _TRUNCATED

    def write(self, content: bytes, *, final: bool = False) -> None:
        """Add what the process has written; PostgreSQL takes no NUL in a string."""
        self._add(self._decoder.decode(content, final=final).replace("\0", _NO_CHARACTER))

    def note(self, line: str) -> None:
        """Add a line of the gateway's own."""
        start = "" if not self._size or self.text.endswith("\n") else "\n"
        self._add(f"{start}[abaco] {line}\n")

    def _add(self, text: str) -> None:
        room = self._limit - self._size
        if room > 0 and text:
            self._parts.append(text[:room])
        self._size += len(text)


class LogPipe:
    """The pipe into which processes write their logs, one after the other.

    Attributes:
        descriptor: the end for a process.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader, self.descriptor = os.pipe()
        os.set_blocking(self._reader, False)
        self._ended = asyncio.Event()
        self._watched = False

    def watch(self, log: Log) -> None:
        """Read whenever something is written."""
        if not self._watched:
            self._watched = True
            self._loop.add_reader(self._reader, self._read, log)

    def drain(self, log: Log) -> None:
        """Read what has been written, by processes that no longer write."""
        self._unwatch()
        while not self._ended.is_set() and self._read(log):
            continue
        log.write(b"", final=True)

    async def close(self, log: Log | None = None, seconds: float = 0) -> None:
        """Close it; before that, read until no process can write any more, or for some seconds."""
        with contextlib.suppress(OSError):
            os.close(self.descriptor)
        if log is not None:
            self.watch(log)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), seconds)
            log.write(b"", final=True)
        self._unwatch()
        os.close(self._reader)

    def _read(self, log: Log) -> bool:
        try:
            content = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return False
        log.write(content)
        if not content:
            self._unwatch()
            self._ended.set()
        return bool(content)

    def _unwatch(self) -> None:
        if self._watched:
            self._loop.remove_reader(self._reader)
            self._watched = False


class ResultsSocket:
    """The datagram socket to which a process sends results.

    Raises:
        OSError: it cannot be made at that path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._watched = False
        try:
            self._socket.bind(str(path))
        except OSError as error:
            self._socket.close()
            if error.errno is not None:
                raise
            message = f"{path} is too long for a socket: let TMPDIR name another folder"
            raise OSError(message) from error
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * RESULT_BYTES)
        self._socket.setblocking(False)  # noqa: FBT003 - its signature

    def watch(self, keep: Callable[[bytes], None]) -> None:
        """Take results whenever there are some."""
        if not self._watched:
            self._watched = True
            asyncio.get_running_loop().add_reader(self._socket, self.take, keep)

    def take(self, keep: Callable[[bytes], None], most: int = _AT_ONCE) -> None:
        """Take what has arrived; not more, since a process may send faster than this reads."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(most):
                keep(self._socket.recv(RESULT_BYTES))

    def drain(self, keep: Callable[[bytes], None]) -> None:
        """Take what was sent by processes that no longer send."""
        self._unwatch()
        self.take(keep, _AT_ONCE * _AT_ONCE)

    def close(self) -> None:
        """Close it."""
        self._unwatch()
        self._socket.close()

    def _unwatch(self) -> None:
        if self._watched:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._watched = False


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
    """What the executions of a worker have, one after the other: a folder, a log, a results socket.

    What one leaves in the folder is gone before the next begins. The pipe and the socket of one are
    those of the next only where nothing of it is left that could write to them.

    Args:
        data: the data folder of the gateway.
    """

    def __init__(self, data: Path) -> None:
        self.prefix = prefix(data)
        self.folder = Path()
        self.fifo_path: Path | None = None
        self._number = 0
        self._used = 0.0
        self._results: ResultsSocket | None = None
        self._pipe: LogPipe | None = None
        self._fifo: Fifo | None = None

    @property
    def results_path(self) -> Path | None:
        """Where a process sends results to."""
        return None if self._results is None else self._results.path

    async def open(self, message: Message) -> LogPipe:
        """Make what the next process needs; return the pipe for its log.

        Raises:
            OSError: the disk is full, or the path of temporary files is too long for a socket.
        """
        if self._results is not None and self._is_old() and not await threads.run(self._is_there):
            self._results.close()
            self._results = None
        self._used = time.time()
        if self._results is None:
            self._results = await threads.run(self._renew)
        if self._pipe is None:
            self._pipe = LogPipe()
        if message.content_type == executions.BINARY:
            self._number += 1
            self.fifo_path = self.folder / f"binary-{self._number}"
            self._fifo = Fifo(self.fifo_path, message.body)
        return self._pipe

    def watch(self, log: Log, keep: Callable[[bytes], None]) -> None:
        """Take what the process writes and sends while it goes on."""
        if self._pipe is not None:
            self._pipe.watch(log)
        if self._results is not None:
            self._results.watch(keep)

    async def leave(
        self,
        log: Log,
        keep: Callable[[bytes], None],
        *,
        goes_on: bool,
        clean: bool,
        seconds: float,
    ) -> None:
        """Take the rest of what the process has written and sent.

        Args:
            log: of the execution.
            keep: takes a result.
            goes_on: whether the process is there for the next message, and has the log open.
            clean: whether nothing else is left: nobody who could write or send more, and no file.
            seconds: how long to wait for those that still have the log open, if it does not go on.
        """
        pipe, results = self._pipe, self._results
        if self._fifo is not None:
            await self._fifo.close()
            self._fifo, self.fifo_path = None, None
        if goes_on and pipe is not None:
            pipe.drain(log)
        if clean and results is not None:
            results.drain(keep)
            return
        self._pipe, self._results = None, None
        if pipe is not None:
            await pipe.close(None if goes_on else log, seconds)
        if results is not None:
            results.drain(keep)
            results.close()
        with contextlib.suppress(OSError):
            # it is tried again when there is a message
            self._results = await threads.run(self._renew)

    async def close(self) -> None:
        """Remove the folder."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            await pipe.close()
        if self._results is not None:
            self._results.close()
            self._results = None
        if self.folder != Path():
            await threads.run(shutil.rmtree, self.folder, ignore_errors=True)

    def _is_old(self) -> bool:
        """Tell whether the folder may have been cleaned up: of temporary files, what is not used for days is."""
        return abs(time.time() - self._used) > UNUSED_SECONDS

    def _is_there(self) -> bool:
        return self._results is not None and self._results.path.exists()

    def _renew(self) -> ResultsSocket:
        """Return the socket of the next results, in an empty folder."""
        if self.folder == Path() or not _is_empty(self.folder):
            if self.folder != Path():
                shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = Path(tempfile.mkdtemp(prefix=self.prefix))
        self._number += 1
        return ResultsSocket(self.folder / f"results-{self._number}.sock")


def _is_empty(folder: Path) -> bool:
    """Tell whether a folder is as new, but for sockets of earlier executions, which are removed."""
    try:
        if stat.S_IMODE(folder.stat().st_mode) != _PRIVATE:
            return False
        for file in folder.iterdir():
            if not _SOCKET.fullmatch(file.name) or not stat.S_ISSOCK(file.lstat().st_mode):
                return False
            file.unlink()
    except OSError:
        return False
    return True
