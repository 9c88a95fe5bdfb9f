"""Machines on one: network namespaces that are connected by a bridge, as several machines are by a switch.

with Network() as network:
    machine = network.machine()
    subprocess.run([*machine.within, "hostname"])
    machine.cut_off()

Only root can make them, with the program `ip`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
from typing import NamedTuple

import psutil

_NAME = re.compile(r"drill([0-9]+)(-[0-9]+)?")
"""Of a bridge, and of a machine on it, with the process that has made them."""


class NetworkError(Exception):
    """Network namespaces cannot be made here, or not be changed."""


def ip(*arguments: str) -> str:
    """Run `ip`; return what it prints."""
    program = shutil.which("ip")
    if os.geteuid() != 0 or program is None:
        message = "network namespaces need root and the program `ip`"
        raise NetworkError(message)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"ip {' '.join(arguments)}: {done.stderr.strip()}"
        raise NetworkError(message)
    return done.stdout


class Machine(NamedTuple):
    """A network namespace.

    Attributes:
        name: of the namespace.
        address: at which the others reach it.
        port: of the bridge, that it is connected to.
    """

    name: str
    address: str
    port: str

    @property
    def within(self) -> tuple[str, ...]:
        """What a command begins with that runs there."""
        return ("ip", "netns", "exec", self.name)

    def cut_off(self) -> None:
        """Let nothing reach it and nothing leave it, as when its cable is pulled."""
        ip("link", "set", self.port, "down")

    def reconnect(self) -> None:
        """Put its cable back."""
        ip("link", "set", self.port, "up")

    def remove(self) -> None:
        """Kill what runs there, and remove it."""
        for pid in ip("netns", "pids", self.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(NetworkError):
            # it goes with its namespace, which lasts until the last process of it has ended
            ip("link", "delete", self.port)
        ip("netns", "delete", self.name)


def _remove_left() -> None:
    """Remove what processes have left that were killed."""
    for line in ip("netns", "list").splitlines():
        name = line.split()[0]
        if _is_left(name):
            Machine(name, "", name).remove()
    for bridge in json.loads(ip("-json", "link", "show", "type", "bridge")):
        if _is_left(bridge["ifname"]):
            ip("link", "delete", bridge["ifname"])


def _is_left(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and not psutil.pid_exists(int(found[1]))


class Network:
    """The bridge and the machines on it, from `with` to the end of the block.

    Raises:
        NetworkError: it cannot be made here.

    Attributes:
        address: of this machine, at which the others reach it.
    """

    def __init__(self) -> None:
        self._name = f"drill{os.getpid()}"
        self._addresses = f"10.{secrets.randbelow(56) + 200}.{secrets.randbelow(256)}"
        self.address = f"{self._addresses}.1"
        self._machines: list[Machine] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Network:  # noqa: PYI034 - Self is newer than Python 3.10
        """Make the bridge."""
        _remove_left()
        with contextlib.ExitStack() as stack:
            ip("link", "add", self._name, "type", "bridge")
            stack.callback(ip, "link", "delete", self._name)
            ip("address", "add", f"{self.address}/24", "dev", self._name)
            ip("link", "set", self._name, "up")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Remove all of it."""
        self._stack.close()

    def machine(self) -> Machine:
        """Make one more machine."""
        number = len(self._machines) + 1
        name = f"{self._name}-{number}"
        machine = Machine(name, f"{self._addresses}.{number + 1}", name)
        ip("netns", "add", name)
        self._machines.append(machine)
        self._stack.callback(machine.remove)
        ip("link", "add", machine.port, "type", "veth", "peer", "eth0", "netns", name)
        ip("link", "set", machine.port, "master", self._name, "up")
        for command in (
            ("address", "add", f"{machine.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            ip("-n", name, *command)
        return machine
