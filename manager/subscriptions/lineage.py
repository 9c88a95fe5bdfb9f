"""What has happened to a job, as OpenLineage says it: events of a run with its inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    datasource_dataset,
    error_message_run,
    job_type_job,
    parent_run,
)
from openlineage.client.serde import Serde

from manager.subscriptions.subscriber import state_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from datacatalog.mongo import Document
    from manager.subscriptions.subscriber import News

NAMESPACE = "pipelinejobs"
PRODUCER = "urn:pipelinejobs"
_MAX_FILES = 1000
_TYPES = {
    "update": RunState.RUNNING,
    "resource": RunState.RUNNING,
    "finish": RunState.COMPLETE,
    "fail": RunState.FAIL,
    "reset": RunState.ABORT,
    "retire": RunState.ABORT,
}
"""Of events; of `run` see `_type`, and all the others are of no state that OpenLineage knows."""


def run_event(news: News, jobs: PipelineJobStore) -> str:
    """Return the JSON of a RunEvent.

    Args:
        news: the event; the job's UUID becomes the run's, its pipeline the job.
        jobs: where the names of pipelines and files are.
    """
    job, entry = news.job, news.entry
    inputs = _files(jobs, {"uuid": {"$in": job.get("acted_on") or []}})
    references = _references(jobs, job.get("acted_using") or [])
    outputs = _files(jobs, {"child_of": job["uuid"]})
    event = RunEvent(
        eventType=_type(news),
        eventTime=entry["date"].isoformat(),
        run=Run(job["uuid"], _run_facets(news, jobs)),
        job=_job(jobs, job.get("pipeline_uuid")),
        inputs=[InputDataset(*place, facets=_facets(place)) for place in (*inputs, *references)],
        outputs=[OutputDataset(*place, facets=_facets(place)) for place in outputs],
        producer=PRODUCER,
    )
    return str(Serde.to_json(event))


def _type(news: News) -> RunState:
    name = str(news.entry["name"])
    if name != "run":
        return _TYPES.get(name, RunState.OTHER)
    was_running = news.before is not None and news.before.get("_state") == state_of(news)
    return RunState.RUNNING if was_running else RunState.START


def _job(jobs: PipelineJobStore, pipeline_uuid: Any) -> Job:
    found = jobs.db["pipelines"].find_one({"uuid": pipeline_uuid}, {"id": 1, "name": 1}) or {}
    kind = job_type_job.JobTypeJobFacet("BATCH", "PIPELINEJOBS", "JOB", producer=PRODUCER)
    return Job(NAMESPACE, str(found.get("id") or pipeline_uuid), {"jobType": kind})


def _run_facets(news: News, jobs: PipelineJobStore) -> dict[str, Any]:
    facets: dict[str, Any] = {}
    if news.entry["name"] == "fail":
        data = news.entry.get("data")
        message = data.get("message") if isinstance(data, dict) else None
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            str(message or "the job failed"), "UNKNOWN", producer=PRODUCER
        )
    parents = [uuid for uuid in news.job.get("child_of") or [] if isinstance(uuid, str)]
    parent = jobs.coll.find_one({"uuid": {"$in": parents}}, {"uuid": 1, "pipeline_uuid": 1})
    if parent is not None:
        job = _job(jobs, parent.get("pipeline_uuid"))
        facets["parent"] = parent_run.ParentRunFacet(
            parent_run.Run(parent["uuid"]),
            parent_run.Job(job.namespace, job.name),
            producer=PRODUCER,
        )
    return facets


def _files(jobs: PipelineJobStore, query: Document) -> list[tuple[str, str]]:
    found = jobs.db["files"].find(query, {"name": 1, "storage_system": 1}, limit=_MAX_FILES)
    system = jobs.catalog.storage_system
    return sorted(
        (f"agave://{each.get('storage_system') or system}", each["name"]) for each in found
    )


def _references(jobs: PipelineJobStore, uuids: Iterable[str]) -> list[tuple[str, str]]:
    places = []
    for found in jobs.db["references"].find({"uuid": {"$in": [*uuids]}}, {"uri": 1, "name": 1}):
        parts = urlsplit(str(found.get("uri") or ""))
        origin = f"{parts.scheme}://{parts.netloc}" if parts.scheme else "pipelinejobs"
        places.append((origin, parts.path or str(found.get("name"))))
    return sorted(places)


def _facets(place: tuple[str, str]) -> dict[str, Any]:
    namespace, name = place
    source = datasource_dataset.DatasourceDatasetFacet(
        name=namespace, uri=f"{namespace}{name}", producer=PRODUCER
    )
    return {"dataSource": source}
