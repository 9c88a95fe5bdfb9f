"""What the platform says about a job that it ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reactors.runtime import Reactor

TIMEOUT = 2.0


def latest_description(rx: Reactor, post: Mapping[str, Any]) -> str | None:
    """Return the latest entry of a job's history on Agave or Aloe, or None if it cannot be had.

    Asked only with the access token that the platform gave, and given up after `TIMEOUT` seconds.
    """
    job_id = post.get("id")
    if not isinstance(job_id, str) or not job_id or not rx.environ.get("_abaco_access_token"):
        return None
    from reactors.client import make_client  # noqa: PLC0415 - costs more than an event
    from reactors.tenant import segment  # noqa: PLC0415 - for such a lookup only

    try:
        client = make_client(rx.environ, timeout=TIMEOUT)
        entries = client.jobs.getHistory(jobId=segment(job_id))
        latest = max(entries, key=lambda entry: str(entry.get("created", "")))
        return str(latest["description"])
    except Exception as error:  # noqa: BLE001 - the event does not depend on it
        rx.logger.debug("the lookup of the job on the platform failed: %s", type(error).__name__)
        return None
