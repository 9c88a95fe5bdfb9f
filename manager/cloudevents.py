"""What anybody reports about a job in the form of CloudEvents 1.0 (structured mode)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from datacatalog.identifiers import typeduuid
from manager import payloads

_NOT_KEPT = {"specversion", "subject", "data", "token"}
"""What is said elsewhere in the history, or nowhere."""


class CloudEvent(NamedTuple):
    """An event that names its job."""

    uuid: str
    token: Any
    """None where the document has none"""
    event: str
    data: dict[str, Any]
    """what the history is to keep"""
    key: str
    """what a second delivery is known by"""


def read(body: dict[str, Any]) -> CloudEvent:
    """Return what a document says that fits the schema.

    Its data is kept, and under `cloudevent` its attributes and extensions, but for the token.

    Raises:
        MessageError: its data is to be in base64, and is not.
    """
    given = body.get("data")
    payloads.check_base64(body)
    said = payloads.in_base64(body) if given is None else payloads.as_object(given)
    token = body.get("token")
    # a token is a credential wherever it stands
    data = {name: value for name, value in said.items() if name != "token"}
    read = {*_NOT_KEPT, *([payloads.BASE64] if given is None else [])}
    attributes = {name: value for name, value in body.items() if name not in read}
    return CloudEvent(
        uuid=typeduuid.canonical(body["subject"]),
        token=said.get("token") if token is None else token,
        event=body["type"].lower().rpartition(".")[2],
        data={**data, "cloudevent": attributes},
        # only both together are unique, and no other pair reads like this one
        key=json.dumps([body["source"], body["id"]]),
    )
