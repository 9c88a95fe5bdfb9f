"""What replies look like (docs/reference/abaco.md#conventions)."""

from __future__ import annotations

import datetime
import json
from importlib import metadata
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from abaco import clock
from abaco.exceptions import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Mapping

    from abaco.exceptions import ApiError
    from abaco.store.records import Record

VERSION = metadata.version("pipelinejobs-manager")
CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"Authorization, Content-Type"),
]
_JSON = "application/json"
_PARTS = ("_metadata", "executions", "postponed", "search")
"""What is a document, or a list of some, within another; all else below the top is as it was sent."""


def camel(name: str) -> str:
    """Return `lastUpdateTime` for `last_update_time`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def snake(name: str) -> str:
    """Return `last_update_time` for `lastUpdateTime`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def show(
    record: Mapping[str, Any], *, without: tuple[str, ...] = (), missing: bool = False
) -> Record:
    """Return a record as clients see it, with names in camel case.

    Args:
        record: the values by the names of columns.
        without: what is not shown.
        missing: show also what has no value.
    """
    return {
        camel(name): clock.iso(value) if isinstance(value, datetime.datetime) else value
        for name, value in record.items()
        if (missing or value is not None) and name not in without
    }


def in_snake(document: Any) -> Any:
    """Return a document, or a list of some, with its names in snake case."""
    if isinstance(document, list):
        return [in_snake(each) for each in document]
    if not isinstance(document, dict):
        return document
    return {
        snake(name): in_snake(value) if name in _PARTS else value
        for name, value in document.items()
    }


def success(result: Any, message: str) -> Response:
    """Return the reply to a request that succeeded."""
    return _respond(200, {"status": "success", "message": message, "result": result})


def failure(error: ApiError, headers: dict[str, str] | None = None) -> Response:
    """Return the reply to a request that was refused."""
    if isinstance(error, Unauthorized):
        return _json(401, _fault(str(error)), {"WWW-Authenticate": "Bearer", **(headers or {})})
    body = {"status": "error", "message": str(error), "result": None}
    return _respond(error.status, body, headers)


def _respond(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return _json(status, {**body, "version": VERSION}, headers)


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    # a terminal shows its prompt on a line of its own
    return Response(json.dumps(body) + "\n", status, headers, _JSON)


def _fault(detail: str) -> dict[str, Any]:
    """Return what Abaco's API manager answers; agavepy looks for this message."""
    return {"fault": {"code": 900904, "message": "Invalid Credentials", "description": detail}}
