"""The forms in which a webhook is told what has happened."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog import documents
from datacatalog.linkedstores.pipelinejob.fsm import FIRST_EVENT
from manager.schemas import MASK
from manager.subscriptions.posting import DeliveryFailed
from manager.subscriptions.subscriber import state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from datacatalog.mongo import Document
    from manager.subscriptions.subscriber import News

OWN, STRUCTURED, BINARY, OPENLINEAGE = FORMATS = (
    "pipelinejobs",
    "cloudevents",
    "cloudevents-binary",
    "openlineage",
)
TEST = "test"
_JSON = {"Content-Type": "application/json"}


class Made(NamedTuple):
    """What is sent."""

    id: str
    """the same whenever it is sent again"""
    body: bytes
    headers: Mapping[str, str]


def says_anything(form: str, news: News) -> bool:
    """Tell whether there is a way to say this in a form: a job that was only created has no run."""
    return form != OPENLINEAGE or news.entry.get("name") != FIRST_EVENT


def make(form: str, news: News, jobs: PipelineJobStore) -> Made:
    """Return what says in a form what has happened.

    Raises:
        DeliveryFailed: what the form needs is not installed.
    """
    made = _with_packages(form, lambda: _make(form, news, jobs))
    body = made.body
    # a sender may have put one into the data of an event
    for token in jobs.valid_tokens(news.job):
        body = body.replace(token.encode(), MASK.encode())
    return made._replace(body=body)


def make_test(form: str) -> Made:
    """Return what says in a form that it is a test.

    Raises:
        DeliveryFailed: what the form needs is not installed.
    """
    identifier = f"{TEST}-{uuid.uuid4()}"
    content = {"id": identifier, "event": TEST}
    if form in (STRUCTURED, BINARY):
        return _with_packages(form, lambda: _cloud_event(form, identifier, TEST, content, {}))
    return Made(identifier, _text(content).encode(), _JSON)


def _make(form: str, news: News, jobs: PipelineJobStore) -> Made:
    identifier = str(news.entry.get("uuid"))
    if form in (STRUCTURED, BINARY):
        more = {"subject": news.job["uuid"], "time": news.entry["date"]}
        return _cloud_event(form, identifier, news.entry["name"], document(news), more)
    if form == OPENLINEAGE:
        from manager.subscriptions import lineage  # noqa: PLC0415 - costs half a second

        return Made(identifier, lineage.run_event(news, jobs).encode(), _JSON)
    return Made(identifier, _text(document(news)).encode(), _JSON)


def _cloud_event(
    form: str, identifier: str, name: str, content: Any, more: Mapping[str, Any]
) -> Made:
    from cloudevents.core.bindings import http  # noqa: PLC0415 - for this form only
    from cloudevents.core.v1.event import CloudEvent  # noqa: PLC0415 - for this form only

    attributes = {
        "id": identifier,
        "source": "urn:pipelinejobs",
        "type": f"pipelinejobs.{name}",
        "datacontenttype": "application/json",
        **more,
    }
    event = CloudEvent(attributes, json.loads(_text(content)))
    write = http.to_binary_event if form == BINARY else http.to_structured_event
    message = write(event)
    return Made(identifier, message.body, message.headers)


def _with_packages(form: str, make_it: Callable[[], Made]) -> Made:
    try:
        return make_it()
    except ImportError as error:
        reason = f"the format {form} needs {error.name}: pip install 'pipelinejobs-manager[local]'"
        raise DeliveryFailed(reason, away=True) from error


def document(news: News) -> Document:
    """Return our own document about an event."""
    job, entry = news.job, news.entry
    return {
        "id": entry.get("uuid"),
        "event": entry["name"],
        "date": entry["date"],
        "job_uuid": job["uuid"],
        "pipeline_uuid": job.get("pipeline_uuid"),
        "archive_system": job.get("archive_system"),
        "archive_path": job.get("archive_path"),
        "session": job.get("session"),
        "state": state_of(news),
        "revision": entry.get("_revision"),
        "data": documents.decode(entry.get("data")),
    }


def _text(content: Any) -> str:
    return json.dumps(content, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
