"""What the events manager of a tenant is told, and has yet to be told."""

from __future__ import annotations

from typing import Any

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.subscriptions import Subscriptions
from datacatalog.mongo import Document
from manager import announcements
from tests.actor import Actor
from tests.tenant import Tenant

A_SECOND = announcements.BUDGET_SECONDS
"""For what an execution tells; in this process, the fixture `actor` gives it more."""
DOWN = (500,)
"""the next attempt fails; there is no second one at once"""


def announcement(job: Document, name: str, state: str, last_event: str = "") -> dict[str, Any]:
    return {
        "job_uuid": job["uuid"],
        "event_name": name,
        "job_state": state,
        "data": {"last_event": last_event or name},
    }


def announced(tenant: Tenant) -> list[Any]:
    """Return what has been announced since the last call, oldest first."""
    sent = [request.body["message"] for request in tenant.messages]
    tenant.requests.clear()
    return sent


def time_passes(jobs: PipelineJobStore) -> None:
    """Make everything due that waits to be told."""
    Subscriptions(jobs.db).note({"events_manager": ({}, {"until": None})})
    jobs.untold.due_now("events_manager")


def waiting(actor: Actor) -> list[str]:
    """Return the events that the events manager has yet to be told, of all jobs."""
    jobs = actor.jobs
    found = []
    for each in jobs.untold.behind.find(sort=[("since", 1)]):
        head = jobs.untold.head(each["_id"])
        first = each["behind"]["events_manager"]["told"] + 1
        found += [entry["name"] for entry in jobs.untold.entries(head or {}, first, 99)]
    return found
