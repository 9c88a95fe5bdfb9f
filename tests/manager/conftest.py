"""The actor, its jobs in the database of one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import reactor
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from manager import announcements
from tests.actor import Actor
from tests.conftest import ROOT
from tests.manager.receiving import Receiver
from tests.tenant import Tenant


@pytest.fixture
def actor(
    mongodb: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Actor]:
    # what takes longer, on a busy machine, would be left to the next message
    monkeypatch.setattr(announcements, "BUDGET_SECONDS", 30.0)
    actor = Actor(mongodb, tmp_path)
    yield actor
    actor.close()


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process handles messages as a warm worker does, and has handled none yet."""
    monkeypatch.chdir(ROOT)
    # another test has another database
    monkeypatch.setattr(reactor, "_opened", [])


@pytest.fixture
def tenant(actor: Actor) -> Iterator[Tenant]:
    """The platform, where an events manager listens."""
    with Tenant(is_known=True) as tenant:
        actor.environ |= {
            "_REACTOR_PIPELINES_EVENTS_MANAGER_ID": "events-manager",
            **tenant.environ,
        }
        yield tenant


@pytest.fixture
def other(job: Document, jobs: PipelineJobStore) -> Document:
    fields = {name: job[name] for name in ("pipeline_uuid", "archive_path")}
    return jobs.create({**fields, "data": {"other": True}})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A subscriber that takes all that it is told."""
    with Receiver() as receiver:
        yield receiver
