"""The server's program, processes and ports."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from local.exceptions import LocalDatabaseError

HOST = "127.0.0.1"
HIGHEST_PORT = 65535
PROGRAM = "secantusd-py"
PASSWORD_OPTION = "--auth"  # noqa: S105 - it says that one is asked for


def find_program() -> str:
    """Return the path of the server's program.

    Raises:
        LocalDatabaseError: it is not installed.
    """
    beside = Path(sys.executable).with_name(PROGRAM)
    found = str(beside) if beside.exists() else shutil.which(PROGRAM)
    if found is None:
        message = f"{PROGRAM} is not installed: run `make install`, or pip install secantusdb"
        raise LocalDatabaseError(message)
    return found


def free_port(wanted: int) -> int:
    """Return the port that is wanted if it is free, else another."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    message = f"there is no free port on {HOST}"
    raise LocalDatabaseError(message)


def is_open(port: int) -> bool:
    """Tell whether something listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def is_running_child(pid: int) -> bool | None:
    """Tell whether a child of this process still runs; None if it is not, or no longer, a child."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return None


def asks_for_a_password(pid: int) -> bool:
    """Tell whether a server was started so that it asks for a password."""
    return f" {PASSWORD_OPTION} " in command_line(pid)


def command_line(pid: int) -> str:
    """Return the command line of a process; empty if there is no such process."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
        return line.replace("\0", " ").rstrip()
    except OSError:
        if Path("/proc/self").exists():
            return ""
    command = ["ps", "-o", "command=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, errors="replace", check=False)
    return shown.stdout.rstrip()
