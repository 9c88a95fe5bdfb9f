"""The URL to which a platform reports about a job, and how to have it report there."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote


def callback_url(
    api_server: str,
    manager_id: str,
    nonce: str | None,
    *,
    token: str,
    uuid: str,
    session: str | None = None,
) -> str:
    """Return the messages URL of the manager with all that identifies a job.

    Args:
        api_server: the base URL, with or without a slash at its end.
        manager_id: the manager's actor id or alias.
        nonce: lets the platform post without a Bearer token; left out where there is none.
        token: the job's.
        uuid: the job's.
        session: the job's; left out where there is none.
    """
    parameters = {"x-nonce": nonce, "token": token, "uuid": uuid, "session": session}
    query = "&".join(
        f"{name}={quote(value, safe='')}" for name, value in parameters.items() if value
    )
    return f"{api_server.rstrip('/')}/actors/v2/{quote(manager_id, safe='')}/messages?{query}"


def agave_notifications(callback: str) -> list[dict[str, Any]]:
    """Return the `notifications` of an Agave or Aloe job request.

    What is needed stands in the URL: of a post with a field `message`, Abaco passes on that alone.
    """
    status, job_id = "${JOB_STATUS}", "${JOB_ID}"
    return [
        {
            "event": event,
            "persistent": persistent,
            "url": f"{callback}&status={shown}&job_id={job_id}",
        }
        for event, persistent, shown in (
            ("RUNNING", True, status),
            ("FINISHED", False, "FINISHED"),
            ("FAILED", False, status),
        )
    ]


def tapis_notifications(callback: str) -> list[dict[str, Any]]:
    """Return the `subscriptions` of a Tapis v3 job request: all that Tapis tells about the job."""
    return [
        {
            "description": "PipelineJobs Manager",
            "enabled": True,
            "eventCategoryFilter": "ALL",
            "deliveryTargets": [{"deliveryMethod": "WEBHOOK", "deliveryAddress": callback}],
            # does not expire: a job may wait longer than the week that is the default
            "ttlminutes": 0,
        }
    ]
