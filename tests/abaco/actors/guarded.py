"""An actor that asks for a secret: a message names a subject and shows the key for it."""

from __future__ import annotations

import ast
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

KEYS: dict[str, str] = {}
"""By subject; a key that an order sets holds from then on, in a warm process."""


def main() -> int:
    """Answer whether the key is right; where a message has no subject, set one."""
    message = os.environ.get("MSG")
    if message is None:
        message = Path(os.environ["_abaco_binary_fifo"]).read_text()
    content = ast.literal_eval(message)
    content = content if isinstance(content, dict) else {}
    if "set" in content:
        KEYS.update(content["set"])
        return answer({"set": True})
    subject = content.get("subject", os.environ.get("subject", ""))
    if "make" in content:
        KEYS[subject] = content["make"]
        return answer({"subject": subject, "key": KEYS[subject]})
    shown = content.get("key", os.environ.get("key"))
    if shown is None:
        return answer({"error": "the key is missing", "kind": "wrong"})
    if KEYS.get(subject) != shown:
        return answer({"error": "no subject with this key", "kind": "wrong"})
    return answer({"done": subject})


def rest() -> int:
    """Do nothing, for a while."""
    time.sleep(0.03)
    return 0


def answer(result: dict[str, Any]) -> int:
    """Send a result; return the exit code."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(os.environ["_abaco_results_socket"])
        client.send(json.dumps(result).encode())
    return int("error" in result)
