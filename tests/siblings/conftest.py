"""Fixtures: a gateway with the manager and its siblings, and a pipeline that one of them registered."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from datacatalog.mongo import Document
from local.database import Server
from tests.abaco.running import ADMIN as ABACO_ADMIN
from tests.abaco.running import EVERYONE, RunningGateway
from tests.conftest import ADMIN, TACOBOT, TIMEOUT
from tests.siblings.platform import SYSTEM, Platform
from tests.siblings.site import MANAGER, Site, images

OUTPUTS = {
    "counts.csv": b"taco,count\nal pastor,3\n",
    "reads.bam": b"BAM\1" + bytes(100),
    "logs/grill.log": b"smoke\n",
}


def grill(folder: Path, _job: dict[str, Any]) -> None:
    """Write the outputs of a job."""
    for name, content in OUTPUTS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def burn(_folder: Path, _job: dict[str, Any]) -> None:
    """Fail."""
    message = "APPS_USER_APP_FAILURE: the job was killed by the scheduler"
    raise RuntimeError(message)


@pytest.fixture(scope="module")
def catalog(
    server: Server, mongo_client: pymongo.MongoClient[Document]
) -> Iterator[dict[str, Any]]:
    """The settings of a database that only this module uses."""
    name = f"siblings_{secrets.token_hex(6)}"
    yield {"authn": server.uri, "database": name, "timeout": TIMEOUT}
    mongo_client.drop_database(name)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, catalog: dict[str, Any]) -> Iterator[Site]:
    """The gateway behind its platform, with the manager, the registrar and the indexer."""
    storage = tmp_path_factory.mktemp("storage")
    environment = {
        "_REACTOR_MONGODB_AUTHN": catalog["authn"],
        "_REACTOR_MONGODB_DATABASE": catalog["database"],
        "CATALOG_LOCAL_STORAGE": f"{SYSTEM}={storage}",
        **ADMIN,
    }
    apps = {"bbq-brisket-0.5.0": grill, "bbq-burnt-0.5.0": burn}
    with Platform(storage, apps) as platform:
        settings = {"public_url": platform.url}
        gateway = RunningGateway(tmp_path_factory.mktemp("gateway"), images(), settings)
        with gateway, gateway.client("ada", (EVERYONE, ABACO_ADMIN)) as ada:
            platform.gateway = gateway.url
            site = Site(gateway, platform, ada, catalog, environment, storage)
            manager = site.register(MANAGER, _REACTOR_PIPELINES_JOB_INDEXER_ID="jobs-indexer")
            site.nonce = ada.result("POST", f"/{manager}/nonces", json={"level": "EXECUTE"})["id"]
            site.register("registrar")
            indexer = site.register("indexer")
            for alias, actor in (("jobs-manager", manager), ("jobs-indexer", indexer)):
                ada.result("POST", "/aliases", json={"alias": alias, "actorId": actor})
            yield site


@pytest.fixture(scope="module")
def buckets(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the buckets that those watch who manage uploads and index them."""
    folder = tmp_path_factory.mktemp("buckets")
    site.register("uploads-manager", _REACTOR_S3_ROOT=str(folder))
    indexer = site.register("uploads-indexer")
    site.ada.result("POST", "/aliases", json={"alias": "uploads-indexer", "actorId": indexer})
    return folder


@pytest.fixture(scope="module")
def eventer(launching: Site) -> Site:
    """The site with the actor that applies events to jobs by itself."""
    launching.register("eventer")
    return launching


@pytest.fixture(scope="module")
def auditing(launching: Site) -> Site:
    """The site with the actor that looks at the outputs of jobs."""
    launching.register("auditor")
    return launching


@pytest.fixture(scope="module")
def registered(site: Site) -> dict[str, str]:
    """What the registrar says of the pipeline that it has registered, and registered again."""
    actor = site.actors["registrar"]
    first = site.ada.ask(actor, TACOBOT).json()
    again = site.ada.ask(actor, TACOBOT).json()
    assert again == first
    return dict(again)


@pytest.fixture(scope="module")
def launching(site: Site, registered: dict[str, str]) -> Site:
    """The site with the actors that launch jobs of the pipeline."""
    pipelines = {
        "_REACTOR_PIPELINES_PIPELINE_UUID": registered["uuid"],
        "_REACTOR_PIPELINES_JOB_MANAGER_ID": site.actors[MANAGER],
        "_REACTOR_PIPELINES_JOB_MANAGER_NONCE": site.nonce,
    }
    for image in ("launcher", "cold launcher", "wrapper"):
        site.register(image, **pipelines)
    return site
