"""The standard streams: there, also where whoever started the command has closed them, and UTF-8."""

from __future__ import annotations

import io
import os
import sys

_MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}
"""In the order of their descriptors, of which an opened file gets the first that is free."""


def prepare() -> None:
    """Put the null device in place of what is closed, and read and write UTF-8, as files have it.

    In a locale of another encoding, a letter that it does not have would end a command that has
    already changed a job, and JSON from a pipe would be read as other letters than were written.
    """
    for name, mode in _MODES.items():
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - open until the end
        elif isinstance(stream, io.TextIOWrapper):
            errors = "surrogateescape" if mode == "r" else "backslashreplace"
            stream.reconfigure(encoding="utf-8", errors=errors)
