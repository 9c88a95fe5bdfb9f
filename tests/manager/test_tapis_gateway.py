"""Tapis v3 posts to the callback of a job, and the gateway is the platform behind that URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.managers.pipelinejobs import ManagedPipelineJob
from datacatalog.mongo import Document
from reactors.runtime import Reactor
from tests.abaco.running import SECONDS, RunningGateway, eventually
from tests.actor import cloud_event, tapis
from tests.conftest import ROOT


@pytest.fixture
def gateway(mongodb: dict[str, Any], tmp_path: Path) -> Iterator[RunningGateway]:
    manager = {
        "folder": str(ROOT),
        "command": ["python3", "reactor.py"],
        "environment": {
            "_REACTOR_MONGODB_AUTHN": mongodb["authn"],
            "_REACTOR_MONGODB_DATABASE": mongodb["database"],
        },
    }
    running = RunningGateway(tmp_path, {"pipelinejobs-manager": manager}).start()
    yield running
    assert running.stop() == 0, running.log.read_text()


def test_what_tapis_posts_to_the_subscription_reaches_the_job(
    gateway: RunningGateway, mongodb: dict[str, Any], pipeline: Document, tmp_path: Path
) -> None:
    with gateway.client("ada") as ada:
        manager = ada.actor("pipelinejobs-manager")
    environ = {"_abaco_api_server": gateway.url, "_abaco_access_token": gateway.token("ada")}
    nonce = Reactor(environ, folders=[tmp_path]).add_nonce("EXECUTE", -1, manager)
    job = ManagedPipelineJob(
        mongodb,
        {"job_manager_id": manager, "job_manager_nonce": nonce["id"]},
        pipeline_uuid=pipeline["uuid"],
        api_server=gateway.url,
    ).setup()
    (subscription,) = job.tapis_notifications()
    (target,) = subscription["deliveryTargets"]
    assert target["deliveryMethod"] == "WEBHOOK"

    def post(body: dict[str, Any]) -> None:
        reply = httpx.post(
            target["deliveryAddress"],
            json=body,
            headers={"User-Agent": "Tapis/1.8.0"},
            timeout=SECONDS,
        )
        assert reply.status_code == 200, reply.text

    def state() -> str:
        stored = PipelineJobStore(mongodb).find_one_by_uuid(str(job.uuid))
        assert stored is not None
        return str(stored["state"])

    post({**tapis("RUNNING", 1), "deliveryTarget": target})
    eventually(lambda: state() == "RUNNING")
    post(cloud_event(tapis("FINISHED", 2)))
    eventually(lambda: state() == "FINISHED")
