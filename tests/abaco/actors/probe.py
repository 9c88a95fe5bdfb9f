"""An actor that does what its message says, cold (`python3 probe.py`) or warm (`probe:main`).

Tests run hundreds of messages, each of which would wait for what is imported: so what few of them need,
they import.
"""

from __future__ import annotations

import ast
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger
    from typing import Any

calls = 0
"""How often this process was called: what a warm one keeps, and a cold one does not."""
kept: list[object] = []


def main() -> int:
    """Do what the keys of the message, an object, say, in their order.

    Where the message is binary, the URL parameter `orders` is the message.
    """
    global calls  # noqa: PLW0603 - that it is global is what is looked at
    calls += 1
    message = os.environ.get("MSG") or os.environ.get("orders", "{}")
    orders: dict[str, Any] = ast.literal_eval(message)
    for order, value in orders.items():
        # `append again`, since an object cannot have a key twice
        ORDERS[order.removesuffix(" again")](value)
    return 0


def tell() -> int:
    """Send the environment as a result, whatever the message says."""
    answer(dict(os.environ))
    return 0


def append(what: list[str]) -> None:
    """Add a string to a file, in one write."""
    file, text = what
    with open(file, "a") as opened:  # noqa: PTH123 - without pathlib
        opened.write(text)


def touch(file: str) -> None:
    """Make a file."""
    append([file, ""])


def save(file: str) -> None:
    """Write what a message may want to know of its process into a file."""
    import json

    with open(file, "w") as opened:  # noqa: PTH123 - without pathlib
        json.dump(facts(), opened)


def spawn(what: list[str]) -> None:
    """Start a process that goes on, in a session of its own where that is said."""
    import subprocess

    where, file = what
    child = subprocess.Popen(["/bin/sleep", "60"], start_new_session=where == "new session")
    kept.append(child)
    append([file, str(child.pid)])


def leave_thread(file: str) -> None:
    """Leave a thread that prints until there is a file, then makes it larger."""
    import threading

    def work() -> None:
        while not exists(file):
            print("from a thread", flush=True)
            time.sleep(0.001)
        append([file, "seen"])

    threading.Thread(target=work, daemon=True).start()


def leave_thread_that_stays(seconds: float) -> None:
    """Leave a thread that the process waits for."""
    import threading

    threading.Thread(target=time.sleep, args=[seconds]).start()


def read_fifo(how: str) -> None:
    """Send the size and the hash of what the FIFO holds as a result."""
    import hashlib
    import subprocess

    path = os.environ["_abaco_binary_fifo"]
    content = b""
    if how == "blocking":
        with open(path, "rb") as fifo:  # noqa: PTH123 - without pathlib
            content = fifo.read()
    elif how == "cat":
        content = subprocess.check_output(["/bin/cat", path])
    else:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        part = None
        while part != b"":
            try:
                part = os.read(descriptor, 1 << 20)
                content += part
            except BlockingIOError:
                time.sleep(0.001)
    send(f"{len(content)} {hashlib.sha256(content).hexdigest()}".encode())


def ignore(what: list[str]) -> None:
    """Ignore a signal, then make a file that says so, and go on for a minute."""
    name, file = what
    signal.signal(signal.Signals[name], signal.SIG_IGN)
    touch(file)
    time.sleep(60)


def exists(file: str) -> bool:
    """Tell whether there is a file."""
    return os.access(file, os.F_OK)


def wait_for(file: str) -> None:
    """Wait until there is a file."""
    while not exists(file):
        time.sleep(0.01)


def be_away(file: str) -> None:
    """End with EX_TEMPFAIL while there is a file."""
    if exists(file):
        print("the oven is cold", flush=True)
        sys.exit(75)


def die_first(file: str) -> None:
    """Be killed, if there is no file that says that this was done."""
    if not exists(file):
        touch(file)
        os.kill(os.getpid(), signal.SIGKILL)


def ask_for_itself(_nothing: object) -> None:
    """Send what the gateway says of this execution as a result."""
    from urllib.request import Request, urlopen

    place = "{_abaco_api_server}/actors/v2/{_abaco_actor_id}/executions/{_abaco_execution_id}"
    token = os.environ["_abaco_access_token"]
    asked = Request(place.format(**os.environ), headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - it is http
    with urlopen(asked) as reply:  # noqa: S310 - as above
        send(reply.read())


def fail(text: str) -> None:
    """Raise an error."""
    raise ValueError(text)


def send_all(texts: list[str]) -> None:
    """Send results."""
    for text in texts:
        send(text.encode())


def expect(name: str) -> None:
    """Let a signal do nothing."""
    signal.signal(signal.Signals[name], lambda *_: None)


def end_at(name: str) -> None:
    """Let a signal end the message, with a code of its own."""
    signal.signal(signal.Signals[name], lambda *_: sys.exit(9))


def close_streams(streams: list[str]) -> None:
    """Close standard output or error."""
    for stream in streams:
        getattr(sys, stream).close()


def replace(what: dict[str, str]) -> None:
    """Put another object in the place of the environment."""
    os.environ = what  # type: ignore[assignment]  # noqa: B003 - what an actor should not do


def send_on(text: str) -> None:
    """Send results as fast as they are taken."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(os.environ["_abaco_results_socket"])
        while True:
            client.send(text.encode())


ORDERS: dict[str, Callable[[Any], object]] = {
    "print": lambda text: print(text, flush=True),
    "complain": lambda text: print(text, file=sys.stderr, flush=True),
    "set": os.environ.update,
    "replace environment": replace,
    "put": lambda what: os.putenv(*what),
    "chdir": os.chdir,
    "import from": sys.path.append,
    "argument": sys.argv.append,
    "umask": os.umask,
    "expect": expect,
    "end at": end_at,
    "block": lambda name: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.Signals[name]]),
    "timer": lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds),
    "log": lambda text: logger().warning(text),
    "write": lambda codes: os.write(1, bytes(codes)),
    "many": lambda what: print(what[0] * what[1], flush=True),
    "append": append,
    "save": save,
    "note": lambda file: append([file, f"{os.getpid()}\n"]),
    "spawn": spawn,
    "leave thread": leave_thread,
    "leave thread that stays": leave_thread_that_stays,
    "grow": lambda megabytes: kept.append(b"." * (megabytes << 20)),
    "close descriptors": lambda first: os.closerange(first, 1000),
    "close": close_streams,
    "become": lambda command: os.execv(command[0], command),  # noqa: S606 - no shell is needed
    "read": read_fifo,
    "tell": lambda names: answer({name: facts()[name] for name in names}),
    "results": send_all,
    "results without end": send_on,
    "large result": lambda size: send(b"." * size),
    "touch": touch,
    "wait for": wait_for,
    "away while": be_away,
    "die first": die_first,
    "ask for itself": ask_for_itself,
    "order": lambda _: None,
    "about": lambda _: None,
    "wait for all": lambda files: list(map(wait_for, files)),
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
        "folder": os.getcwd(),  # noqa: PTH109 - without pathlib
        "environment": dict(os.environ),
        "home": home(),
        "arguments": sys.argv,
        "imports": sys.path,
        "timer": signal.getitimer(signal.ITIMER_REAL)[0],
        "handler": str(signal.getsignal(signal.SIGUSR1)),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "mask": mask(),
    }


def home() -> str:
    """Return the home folder that libraries in C, and other programs, are told."""
    import ctypes

    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    return (getenv(b"HOME") or b"").decode()


def mask() -> int:
    """Return the mask of the mode of new files."""
    current = os.umask(0o077)
    os.umask(current)
    return current


def answer(content: Any) -> None:
    """Send a result as JSON."""
    import json

    send(json.dumps(content).encode())


def send(content: bytes) -> None:
    """Send a result."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(os.environ["_abaco_results_socket"])
        client.send(content)


def logger() -> Logger:
    """Return a logger with a handler of its own."""
    import logging

    found = logging.getLogger(__name__)
    if not found.handlers:
        found.addHandler(logging.StreamHandler())
    return found


if __name__ == "__main__":
    sys.exit(main())

# a warm process keeps what it has made while it was imported
logger()
