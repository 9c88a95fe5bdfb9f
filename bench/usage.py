"""What processes use: processor time, and memory."""

from __future__ import annotations

from typing import NamedTuple

import psutil

MEBIBYTE = 1024 * 1024


class Spent(NamedTuple):
    """Processor time in seconds, by who has spent it."""

    gateway: float
    workers: float
    database: float

    def since(self, earlier: Spent) -> Spent:
        """Return what was spent between two moments."""
        return Spent(*(now - then for now, then in zip(self, earlier, strict=True)))


def own_time(pid: int) -> float:
    """Return the processor time of a process in seconds."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def tree_time(pid: int) -> float:
    """Return the processor time in seconds of a process and of all that it has started."""
    return own_time(pid) + _below(psutil.Process(pid))


def spent(gateway: int, database: int) -> Spent:
    """Return what a gateway, the processes of its workers and a database have spent.

    Args:
        gateway: the pid.
        database: the pid.
    """
    return Spent(own_time(gateway), _below(psutil.Process(gateway)), own_time(database))


def _below(top: psutil.Process) -> float:
    times = top.cpu_times()
    below = float(times.children_user + times.children_system)
    for child in top.children(recursive=True):
        used = child.cpu_times()
        below += used.user + used.system + used.children_user + used.children_system
    return below


def memory(*pids: int) -> float:
    """Return the MiB of processes and of all that they have started; what they share counts once."""
    tops = [psutil.Process(pid) for pid in pids]
    processes = {each for top in tops for each in (top, *top.children(recursive=True))}
    return float(sum(each.memory_full_info().pss for each in processes)) / MEBIBYTE
