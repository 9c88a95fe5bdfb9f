"""Run a command, and report to a job how it begins and ends.

On a machine without the package, this file needs `client.py` beside it:

    PIPELINEJOBS_CALLBACK="https://..." python report.py -- ./work.sh
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Any

try:
    from pipelinejobs.client import PATIENCE, VARIABLE, Job, seconds
except ModuleNotFoundError:  # both files are copied
    from client import (  # type: ignore[import-not-found,no-redef]
        PATIENCE,
        VARIABLE,
        Job,
        seconds,
    )

if TYPE_CHECKING:
    from collections.abc import Sequence

CANNOT_RUN, NOT_FOUND, SIGNALLED = 126, 127, 128
"""Exit codes, as shells have them; to the last one the number of the signal is added."""
_PASSED_ON = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
_MAX_LINES, _MAX_BYTES = 20, 8192
_PART = 65536
_STDERR = 2
_LATE_SECONDS = 1.0
"""For what a command leaves running to close standard error."""


class _LastLines:
    """Passes on what a command writes to standard error, and keeps the end of it.

    Args:
        source: where it is read.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._kept = source, b""
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def read(self) -> list[str]:
        """Return the last lines; for those of what the command left running, wait a second at most."""
        self._thread.join(_LATE_SECONDS)
        return self._kept.decode(errors="replace").splitlines()[-_MAX_LINES:]

    def _copy(self) -> None:
        while True:
            part = os.read(self._source.fileno(), _PART)
            self._kept = (self._kept + part)[-_MAX_BYTES:]
            if not part or not _write(part):
                # whoever goes on writing notices it, as without us
                self._source.close()
                return


def _write(content: bytes) -> bool:
    """Write to standard error; tell whether somebody reads it."""
    while content:
        try:
            content = content[os.write(_STDERR, content) :]
        except BlockingIOError:
            select.select([], [_STDERR], [])
        except OSError:
            return False
    return True


class _Signals:
    """The signals of this process, which are a command's as long as that runs.

    In the block of `with` they wait; `release` lets those that come later end the block by
    KeyboardInterrupt. One is enough: after it, they wait again until this process has ended.
    """

    def __enter__(self) -> _Signals:  # noqa: PYI034 - Self is newer than Python 3.8
        """Let signals wait."""
        # ignored, as a parent may have it, it would not tell of an end
        self._handlers = {signal.SIGCHLD: signal.signal(signal.SIGCHLD, signal.SIG_DFL)}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Put everything as it was, unless the block was interrupted."""
        if kind is KeyboardInterrupt:
            signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
            return
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command, whose signals are as they would be without us."""
        return subprocess.Popen(  # noqa: S603 - who runs this says what to run
            command,
            stderr=None if os.isatty(_STDERR) else subprocess.PIPE,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, self._mask),  # noqa: PLW1509 - there are no threads yet
        )

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until a process has ended, and pass signals on."""
        while process.poll() is None:
            told = signal.sigwaitinfo({*_PASSED_ON, signal.SIGCHLD})
            # a code above 0 is the kernel's: the terminal tells everybody in its foreground
            if told.si_signo != signal.SIGCHLD and told.si_code <= 0:
                process.send_signal(told.si_signo)

    def release(self) -> None:
        """Let signals end the block, but not those that came before."""
        while signal.sigtimedwait(_PASSED_ON, 0) is not None:
            continue
        for number in _PASSED_ON:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def run(command: Sequence[str], callback: str | None, *, patience: float = PATIENCE) -> int:
    """Run a command, and report `run`, and then `finish` or `fail`; return its exit code.

    It does not wait for the manager, and ends as it would by itself. Standard input and output are
    not touched. Standard error is neither, where it is a terminal; else it is passed on, and its
    last lines are in the data of `fail`.

    A signal that somebody sends to this process is passed on. One of the terminal, such as that of
    Ctrl-C, reaches the command by itself.

    Args:
        command: the program and its arguments.
        callback: of the job; by default that in the variable PIPELINEJOBS_CALLBACK.
        patience: seconds in which is tried to report the end.
    """
    logging.basicConfig(format="pipelinejobs: %(message)s")
    job = Job.from_callback(callback, patience=patience)
    began = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), _Signals() as signals:
        try:
            process = signals.start(command)
        except OSError as error:
            code = NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_RUN
            text = f"{command[0]}: {error.strerror}"
            _write(os.fsencode(f"{text}\n"))
            signals.release()
            job.fail({"exit_code": code, "error": text})
            return code
        last = _LastLines(process.stderr) if process.stderr else None
        with job.begin({"command": command[0], "host": socket.gethostname()}):
            signals.wait(process)
            code, data = process.returncode, _ending(process.returncode, began)
            lines = last.read() if last else []
            signals.release()
        if code == 0:
            job.finish(data)
        else:
            job.fail({**data, "stderr": lines})
    return _code(code)


def _code(returned: int) -> int:
    return returned if returned >= 0 else SIGNALLED - returned


def _ending(returned: int, began: float) -> dict[str, Any]:
    """Return what is reported about the end of a process."""
    data = {"exit_code": _code(returned), "seconds": round(time.monotonic() - began, 3)}
    return data if returned >= 0 else {**data, "signal": _signal_name(-returned)}


def _signal_name(number: int) -> str:
    """Return the name of a signal; most real-time signals have only a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Run a command, report how it begins and ends.")
    parser.add_argument(
        "--callback", help=f"by default {VARIABLE}, which no list of processes shows"
    )
    parser.add_argument(
        "--patience", type=seconds, default=PATIENCE, help="seconds to try (%(default)s)"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    given = parser.parse_args(arguments)
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if not command:
        parser.error("there is no command")
    return run(command, given.callback, patience=given.patience)


if __name__ == "__main__":
    sys.exit(main())
