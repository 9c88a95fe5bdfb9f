"""An actor that does what its message says, cold (`python3 probe.py`) or warm (`probe:main`)."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

calls = 0
"""How often this process was called: what a warm one keeps, and a cold one does not."""


def main() -> int:
    """Carry out the message, an object: what each key says, in their order."""
    global calls  # noqa: PLW0603 - that it is global is what is looked at
    calls += 1
    orders: dict[str, Any] = ast.literal_eval(os.environ.get("MSG", "{}"))
    for order, value in orders.items():
        ORDERS[order](value)
    return 0


def ignore(what: list[str]) -> None:
    """Ignore a signal, then make a file that says so, and go on for a minute."""
    name, file = what
    signal.signal(signal.Signals[name], signal.SIG_IGN)
    Path(file).touch()
    time.sleep(60)


def wait_for(file: str) -> None:
    """Wait until there is a file."""
    while not Path(file).exists():
        time.sleep(0.01)


def fail(text: str) -> None:
    """Raise an error."""
    raise ValueError(text)


def send_all(texts: list[str]) -> None:
    """Send results."""
    for text in texts:
        send(text.encode())


ORDERS: dict[str, Callable[[Any], object]] = {
    "print": lambda text: print(text, flush=True),
    "complain": lambda text: print(text, file=sys.stderr, flush=True),
    "set": os.environ.update,
    "chdir": os.chdir,
    "tell": lambda names: answer({name: facts()[name] for name in names}),
    "results": send_all,
    "touch": lambda file: Path(file).touch(),
    "wait for": wait_for,
    "sleep": time.sleep,
    "ignore": ignore,
    "signal": lambda name: os.kill(os.getpid(), signal.Signals[name]),
    "raise": fail,
    "exit": sys.exit,
    "leave": os._exit,
}


def facts() -> dict[str, Any]:
    """Return what a message may want to know of its process."""
    return {
        "calls": calls,
        "pid": os.getpid(),
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "arguments": sys.argv,
        "mask": os.umask(os.umask(0o077)),
    }


def answer(content: Any) -> None:
    """Send a result as JSON."""
    send(json.dumps(content).encode())


def send(content: bytes) -> None:
    """Send a result."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(os.environ["_abaco_results_socket"])
        client.send(content)


if __name__ == "__main__":
    sys.exit(main())
