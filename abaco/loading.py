"""While a program is being loaded: Ctrl-C, and the garbage collector."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPTED = 128 + signal.SIGINT
"""The exit code of a program that Ctrl-C has ended."""


@contextlib.contextmanager
def ended_quietly() -> Iterator[None]:
    """End the process at once on Ctrl-C, without a trace: within this block nothing is begun yet.

    Where Ctrl-C is ignored, as behind `nohup`, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage while modules are imported in this block, nor among them ever after.

    There is none: to look for it, again and again, takes an eighth of the time that a gateway
    needs to start. A block within another one changes nothing.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
