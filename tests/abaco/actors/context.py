"""An actor that answers with what agavepy says about its message."""

from __future__ import annotations

import json
import os
import socket

from agavepy.actors import get_context

NAMES = (
    "raw_message",
    "raw_message_parse_log",
    "message_dict",
    "content_type",
    "execution_id",
    "username",
    "state",
    "actor_dbid",
    "actor_id",
    "uuid",
    "x-nonce",
    "_abaco_Content_Type",
)

if __name__ == "__main__":
    context = get_context()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(os.environ["_abaco_results_socket"])
        client.send(json.dumps({name: context.get(name) for name in NAMES}).encode())
