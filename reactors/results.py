"""The results socket, by which a synchronous caller gets an answer.

The rules are in docs/reference/abaco.md#results-binary-messages-and-logs.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/_abaco_results.sock"
WAIT_SECONDS = 1.0
PATH_VARIABLE = "_abaco_results_socket"
MAX_BYTES = 131_072


def send(result: bytes, environ: Mapping[str, str]) -> bool:
    """Send a result as one datagram, where somebody listens; tell whether it was sent.

    Args:
        result: at most `MAX_BYTES`.
        environ: `_abaco_results_socket` may name another path than Abaco's.

    Raises:
        ValueError: the result is too large for one datagram.
    """
    if len(result) > MAX_BYTES:
        message = f"the result has {len(result):,} bytes, and a datagram takes {MAX_BYTES:,}"
        raise ValueError(message)
    path = environ.get(PATH_VARIABLE) or PATH
    if not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        # a caller who reads nothing must not hold the actor up
        client.settimeout(WAIT_SECONDS)
        try:
            client.connect(path)
            client.send(result)
        except OSError:
            return False
    return True
