"""The FIFO through which the platform passes a binary message.

The rules are in docs/reference/abaco.md#results-binary-messages-and-logs. A writer may close the FIFO at the end of the message, or keep it open for as long as the actor
runs, as Abaco does. Then nothing marks the end but that nothing more comes.
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING

from reactors import message
from reactors.exceptions import MessageError

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/_abaco_binary_data"
PATH_VARIABLE = "_abaco_binary_fifo"
FIRST_SECONDS = 5.0
"""How long the first byte is waited for."""
PAUSE_SECONDS = 0.25
"""The message has ended when nothing has come for so long after its last byte."""
MAX_SECONDS = 30.0
"""How long a message may take as a whole, however steadily it comes."""
_PART_BYTES = 64 * 1024


def read(environ: Mapping[str, str]) -> bytes:
    """Return the whole message in the FIFO, which is empty afterwards; `b""` where there is none.

    Args:
        environ: `_abaco_binary_fifo` may name another path than Abaco's.

    Raises:
        MessageError: the message is larger than `message.MAX_BYTES`, does not come to an end, or
            cannot be read.
    """
    path = environ.get(PATH_VARIABLE) or PATH
    try:
        if not Path(path).is_fifo():
            return b""
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return _read_all(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        problem = f"the binary message in {path:.200} cannot be read: {error.strerror}"
        raise MessageError(problem) from error


def _read_all(descriptor: int) -> bytes:
    poll = select.poll()
    # unlike a read, it does not take a FIFO that nobody has opened for writing yet for an ended one
    poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + MAX_SECONDS
    content = bytearray()
    seconds = FIRST_SECONDS
    while poll.poll(seconds * 1000):
        if time.monotonic() > deadline:
            problem = (
                f"the binary message had {len(content):,} bytes and no end after "
                f"{MAX_SECONDS:g} s: close the FIFO when all is written"
            )
            raise MessageError(problem)
        try:
            part = os.read(descriptor, _PART_BYTES)
        except BlockingIOError:
            # all writers had gone when it was looked at, and another has come since
            continue
        if not part:
            break
        content += part
        if len(content) > message.MAX_BYTES:
            problem = (
                f"the binary message is larger than {message.MAX_BYTES:,} bytes: "
                "send a reference to its content instead"
            )
            raise MessageError(problem)
        seconds = PAUSE_SECONDS
    return bytes(content)
