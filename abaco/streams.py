"""The standard streams: there, also where whoever started the command has closed them, and UTF-8.

And what a command says, in one line, where standard output or an argument has ended it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FAILED, _WRONG_USE = 1, 2
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ESCAPED, _LAST_BYTE = 0xDC00, 0xFF
"""As what Python reads a byte of an argument that is not UTF-8."""

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


def complaint(error: Exception) -> tuple[int, str] | None:
    """Return the exit code and what to say of an error of standard output or of an argument.

    Returns:
        None for any other error.
    """
    if isinstance(error, UnicodeEncodeError):
        byte = ord(error.object[error.start]) - _ESCAPED
        if 0 < byte <= _LAST_BYTE:
            what = f"an argument has the byte {byte:#x}, which is not UTF-8: write it in UTF-8"
            return _WRONG_USE, what
    if isinstance(error, OSError) and error.filename is None:
        try:
            # what could not be written is still there
            flush()
        except OSError as own:
            if own.errno == error.errno:
                return _FAILED, f"standard output cannot be written: {own.strerror}"
        if error.errno in _FULL:
            # of a stream without a buffer (PYTHONUNBUFFERED), nothing is left
            return _FAILED, f"nothing more can be written: {error.strerror}: make room"
    return None


def flush() -> None:
    """Write what is left of standard output, also where it was closed."""
    if sys.stdout is not None:
        sys.stdout.flush()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """End the command in one line where standard output, or an argument, makes it fail.

    Raises:
        SystemExit: it does, or nobody reads standard output any more.
    """
    try:
        try:
            yield
        finally:
            flush()
    except BrokenPipeError:
        _discard()
        raise SystemExit(_FAILED) from None
    except (OSError, UnicodeEncodeError) as error:
        found = complaint(error)
        if found is None:
            raise
        code, text = found
        if isinstance(error, OSError):
            _discard()
        sys.stderr.write(f"ERROR {text}\n")
        raise SystemExit(code) from None


def _discard() -> None:
    """Let what is left go nowhere: the interpreter would try again, and complain, as it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
