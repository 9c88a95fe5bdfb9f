"""Record the tour: type commands into a real terminal, at a gateway that `make up DEMO=1` has started.

    python -m docs.record_tour    # writes docs/images/tour.cast, which docs/render_tour.py draws

The recording has asciinema's format, version 2. The gateway, its database and all their credentials
are made for it and are gone afterwards; what is secret is blacked out all the same.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import tempfile
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent
CAST = ROOT / "docs" / "images" / "tour.cast"
WIDTH, HEIGHT = 80, 30
SHOWN_FOLDER, SHOWN_PORT, _SHORT = "~/pipelinejobs-manager", 8000, 13
MASK = "•"
_BASH = shutil.which("bash") or "/bin/bash"
_PATIENCE = 60.0
_MAX_IDLE = 0.8
"""Seconds; whoever looks does not wait longer than that for a command."""
_KEYS, _KEYS_SECONDS = 4, 0.15
_READING_SECONDS, _SECONDS_A_LINE = 1.2, 0.14
_MOMENT = 0.05
_PROMPT = "\x1b]133;A\x07"
"""By which terminals know a prompt; they do not show it."""
_CLEAR = "\x1b[2J\x1b[H"
_UP, _IS_UP = "make up DEMO=1", "Ctrl-C stops it.\r\n"
_OTHER_TERMINAL = "# in another terminal"
_FAILED = "pipelinejobs jobs ls --state FAILED --limit 1 --columns uuid --output csv"
_CREATE = """pipelinejobs jobs create --pipeline plate-reader:3.2 --data '{"plate": 7}'"""
_UUID = re.compile(r"107[0-9a-f-]{33}")
_SECRET = re.compile(r"(?:token|nonce|code=) *(\w{16,})")
_BREAK = r"((?:\x1b\[[0-9;]*m|[\r\n ])*)"
"""What may stand within a word that a table has folded."""


class Event(NamedTuple):
    """What was written to the terminal, and when."""

    seconds: float
    text: str


class Terminal:
    """A shell in a terminal, at which somebody types.

    Args:
        folder: where it begins.
        environ: of the shell.
        begin: when, in the recording.
    """

    def __init__(self, folder: Path, environ: dict[str, str], begin: float = 0.0) -> None:
        self.events: list[Event] = []
        self.now = begin
        self._pid, self._file = pty.fork()
        if not self._pid:
            os.chdir(folder)
            os.execve(_BASH, ["bash", "--norc", "--noprofile", "-i"], environ)  # noqa: S606 - the shell of whoever records
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, struct.pack("4H", HEIGHT, WIDTH, 0, 0))
        self._until(_PROMPT)

    def run(self, command: str, end: str = _PROMPT) -> str:
        """Type a command and return what it prints, up to `end`; leave time to read it."""
        for place in range(0, len(command), _KEYS):
            os.write(self._file, command[place : place + _KEYS].encode())
            self._until(command[place : place + _KEYS][-1])
            self.now += _KEYS_SECONDS
        os.write(self._file, b"\n")
        shown = self._until(end)
        self.now += _READING_SECONDS + _SECONDS_A_LINE * shown.count("\n")
        return shown

    def interrupt(self) -> None:
        """Press Ctrl-C; return when what ran has ended."""
        os.write(self._file, b"\x03")
        self._until(_PROMPT)

    def close(self) -> None:
        """End the shell."""
        os.kill(self._pid, signal.SIGHUP)
        os.close(self._file)
        os.waitpid(self._pid, 0)

    def _until(self, end: str) -> str:
        """Read up to a string; record it."""
        shown, deadline = "", time.monotonic() + _PATIENCE
        while end not in shown:
            began = time.monotonic()
            if not select.select([self._file], [], [], max(0.0, deadline - began))[0]:
                message = f"{end!r} was not printed, but {shown!r}"
                raise TimeoutError(message)
            text = os.read(self._file, 65_536).decode()
            shown += text
            self.now += min(_MAX_IDLE, time.monotonic() - began)
            self.events.append(Event(self.now, text.replace(_PROMPT, "")))
        return shown


def record() -> str:
    """Make the recording; return it."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = _clone(Path(name)), _free_port()
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": name,
            "INPUTRC": str(folder.parent / "inputrc"),
            "PS1": rf"\[{_PROMPT}\]$ ",
            "PORT": str(port),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }
        first = Terminal(folder, environ)
        try:
            first.run(_UP, _IS_UP)
            second = Terminal(folder, environ, first.now)
            shown = [*first.events, Event(first.now, _CLEAR)]
            try:
                job = _go_round(second)
                shown += second.events
                secrets = _secrets(first.events, _aside(second, f"pipelinejobs token job {job}"))
            finally:
                second.close()
                first.interrupt()
        finally:
            first.close()
    shown = [Event(at, text.replace(f":{port}", f":{SHOWN_PORT}")) for at, text in shown]
    shown = [Event(at, text.replace(str(folder), SHOWN_FOLDER)) for at, text in joined(shown)]
    return written(without(secrets, shown))


def _go_round(terminal: Terminal) -> str:
    """Do what a newcomer does; return the job that is created."""
    terminal.run(_OTHER_TERMINAL)
    terminal.run(". .venv/bin/activate")
    terminal.run("pipelinejobs stats --since 1d")
    terminal.run("pipelinejobs jobs ls --state FAILED --state RUNNING --limit 4")
    failed = _uuid(_aside(terminal, _FAILED))
    terminal.run("clear")
    terminal.run(f"pipelinejobs jobs show {failed}")
    terminal.run("clear")
    job = _uuid(terminal.run(_CREATE))
    terminal.run(f"URL=$(pipelinejobs token job {job} --callback)")
    for event, data in (("run", '{"host": "login1"}'), ("finish", '{"exit_code": 0}')):
        terminal.run(f"""curl "$URL&event={event}&_abaco_synchronous=true" --json '{data}'""")
    terminal.run(f"pipelinejobs jobs history {job}")
    terminal.run("pipelinejobs verify")
    return job


def _aside(terminal: Terminal, command: str) -> str:
    """Run a command that the recording does not have; return what it prints."""
    kept, now = list(terminal.events), terminal.now
    shown = terminal.run(command)
    terminal.events, terminal.now = kept, now
    return shown


def _uuid(shown: str) -> str:
    """Return the beginning of the UUID in what a command has printed."""
    found = _UUID.search(shown)
    if found is None:
        message = f"no UUID is in {shown!r}"
        raise ValueError(message)
    return found[0][:_SHORT]


def _clone(folder: Path) -> Path:
    """Make a folder that looks like a clone in which nothing has run yet."""
    (folder / "inputrc").write_text("set enable-bracketed-paste off\n")
    clone = folder / Path(SHOWN_FOLDER).name
    clone.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            # the gateway keeps its data beside its settings, where these really are
            shutil.copy2(path, clone)
        elif path.name not in (".git", ".local"):
            (clone / path.name).symlink_to(path)
    return clone


def _free_port() -> int:
    """Return a free port of four digits, as many as the one has that is shown."""
    for port in range(8001, 9999):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)):
                return port
    message = "no port is free"
    raise OSError(message)


def joined(events: Iterable[Event]) -> list[Event]:
    """Return events of which those of one moment are one."""
    found: list[Event] = []
    for event in events:
        if found and event.seconds - found[-1].seconds < _MOMENT:
            found[-1] = Event(found[-1].seconds, found[-1].text + event.text)
        else:
            found.append(event)
    return [event for event in found if event.text]


def _secrets(of_up: Iterable[Event], token: str) -> set[str]:
    """Return the credentials in what `make up` and `token job` have printed."""
    found = set(_SECRET.findall("".join(event.text for event in of_up)))
    return found | {line for line in token.split() if re.fullmatch("[0-9a-f]{16}", line)}


def without(secrets: Iterable[str], events: Iterable[Event]) -> list[Event]:
    """Return events with secrets blacked out, also where a table has folded them.

    Raises:
        ValueError: one is still there.
    """
    masked = list(events)
    for secret in secrets:
        broken = re.compile(_BREAK.join(map(re.escape, secret)))
        mask = "".join(rf"{MASK}\{number}" for number in range(1, len(secret))) + MASK
        masked = [Event(at, broken.sub(mask, text)) for at, text in masked]
        if secret in re.sub(_BREAK, "", "".join(event.text for event in masked)):
            message = "a secret is still in the recording"
            raise ValueError(message)
    return masked


def written(events: list[Event]) -> str:
    """Return a recording of events: a line that says what it is, then a line for each."""
    head = {
        "version": 2,
        "width": WIDTH,
        "height": HEIGHT,
        "title": "A tour of PipelineJobs Manager",
    }
    lines: list[object] = [head, *([round(at, 2), "o", text] for at, text in events)]
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


if __name__ == "__main__":
    CAST.write_text(record())
