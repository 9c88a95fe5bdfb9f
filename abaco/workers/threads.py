"""The threads of the workers.

They are not those of requests: some requests wait for workers, and workers for processes; what is
waited for must never wait for a thread that waits.
"""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

_brief = ThreadPoolExecutor(16, thread_name_prefix="abaco-worker")
_long = ThreadPoolExecutor(4096, thread_name_prefix="abaco-process")


async def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what takes a moment: files, the database."""
    call = functools.partial(function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_brief, call)


async def wait(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what takes as long as a process."""
    call = functools.partial(function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_long, call)
