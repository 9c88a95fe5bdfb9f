"""The forms in which a webhook is told what has happened."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog import documents
from manager.subscriptions.subscriber import state_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from datacatalog.mongo import Document
    from manager.subscriptions.subscriber import News

TEST = "test"


class Made(NamedTuple):
    """What is sent."""

    id: str
    """the same whenever it is sent again"""
    body: bytes
    headers: Mapping[str, str]


def says_anything(_form: str, _news: News) -> bool:
    """Tell whether there is a way to say this in a form."""
    return True


def make(_form: str, news: News, jobs: PipelineJobStore) -> Made:
    """Return what says in a form what has happened."""
    body = _json(document(news), [jobs.get_token(news.job)])
    return Made(str(news.entry.get("uuid")), body, {"Content-Type": "application/json"})


def make_test(_form: str) -> Made:
    """Return what says in a form that it is a test."""
    identifier = f"{TEST}-{uuid.uuid4()}"
    body = _json({"id": identifier, "event": TEST}, [])
    return Made(identifier, body, {"Content-Type": "application/json"})


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


def _json(content: Any, secrets: list[str]) -> bytes:
    """Return the JSON of something, without the secrets that a sender may have put into it."""
    text = json.dumps(content, default=_text, ensure_ascii=False)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text.encode()


def _text(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
