"""What anybody reports about the run that is a job in the form of OpenLineage."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from datacatalog.identifiers import typeduuid

FACET = "pipelinejobs_job"
"""The facet of a run that names its job, with the token if that is not in the URL."""
EVENTS = {
    "START": "run",
    "RUNNING": "update",
    "COMPLETE": "finish",
    "ABORT": "fail",
    "FAIL": "fail",
    "OTHER": "update",
}
"""The event of each type."""


class RunEvent(NamedTuple):
    """An event of a run."""

    uuid: str
    """the job's; empty where the document does not name it"""
    token: str | None
    """None where the document has none"""
    event: str
    data: dict[str, Any]
    """what the history is to keep"""
    key: str
    """what a second delivery is known by"""


def read(body: dict[str, Any], namespace: str) -> RunEvent:
    """Return what a document says that fits the schema.

    All of it is kept but the facet, which may have the token in it.

    Args:
        body: the document.
        namespace: what a namespace begins with that names a job; empty if none does.
    """
    run = dict(body["run"])
    facets = dict(run.get("facets", {}))
    named = facets.pop(FACET, {})
    if facets:
        run["facets"] = facets
    else:
        run.pop("facets", None)
    data = {name: value for name, value in body.items() if name != "token"}
    return RunEvent(
        uuid=typeduuid.canonical(named.get("uuid", ""))
        or _uuid_in(body["job"]["namespace"], namespace),
        token=named.get("token"),
        event=EVENTS[body["eventType"]],
        data={**data, "run": run},
        key=json.dumps([run["runId"], body["eventType"], body["eventTime"]]),
    )


def _uuid_in(namespace: str, prefix: str) -> str:
    before, _, written = namespace.lower().rpartition("/")
    uuid = typeduuid.canonical(written) if ":" in written else written
    is_named = bool(prefix) and before == prefix.lower().rstrip("/")
    valid = is_named and uuid[:3] == "107" and typeduuid.validate(uuid, permissive=True)
    return uuid if valid else ""
