"""A gateway with the manager behind it, and jobs that can be reported to by their callbacks."""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.managers.pipelinejobs.callback import callback_url
from datacatalog.mongo import Document
from local.database import Server
from tests.abaco.running import RunningGateway
from tests.conftest import TACOBOT, TIMEOUT
from tests.datacatalog.jobs import fields
from tests.reliability.running import IMAGE, manager_gateway


@contextlib.contextmanager
def running_site(server: Server, folder: Path, timeout: float = TIMEOUT) -> Iterator[Site]:
    """Run a site in the block, with a database of its own.

    Args:
        server: of the database.
        folder: of the gateway.
        timeout: seconds until the manager gives up a database that does not answer.
    """
    name = f"test_{secrets.token_hex(6)}"
    mongodb = {"authn": server.uri, "database": name, "timeout": TIMEOUT}
    site = Site(folder, mongodb, timeout).start()
    try:
        yield site
    finally:
        assert site.gateway.stop() == 0, site.gateway.log.read_text()
        site.jobs.coll.database.client.drop_database(name)


class Site:
    """A manager behind a gateway; whoever is given the callback of a job may report to it.

    Args:
        folder: of the gateway.
        mongodb: the settings of the job database.
        timeout: seconds until the manager gives up a database that does not answer.
    """

    def __init__(self, folder: Path, mongodb: dict[str, Any], timeout: float) -> None:
        self.gateway: RunningGateway = manager_gateway(folder, {**mongodb, "timeout": timeout})
        self.jobs = PipelineJobStore(mongodb)
        self.actor = self.nonce = ""
        self._pipeline = PipelineStore(mongodb).add_update_document(TACOBOT)
        self._numbers = itertools.count(1)

    def start(self) -> Site:
        """Start the gateway, and register the manager."""
        self.gateway.start()
        with self.gateway.client("ada") as ada:
            self.actor = ada.actor(IMAGE, stateless=True)
            level = {"level": "EXECUTE", "maxUses": -1}
            self.nonce = ada.result("POST", f"/{self.actor}/nonces", json=level)["id"]
        return self

    def job(self, **more: Any) -> Document:
        """Make a job, perhaps with more fields, with its token as `_update_token`."""
        data = {"number": next(self._numbers)}
        return self.jobs.create(fields(self._pipeline, data=data, **more))

    def callback(self, job: Document) -> str:
        """Return the callback of a job."""
        return callback_url(
            self.gateway.url,
            self.actor,
            self.nonce,
            token=job["_update_token"],
            uuid=job["uuid"],
            session="tacos",
        )

    @property
    def messages(self) -> str:
        """The messages URL of the manager, with a nonce and without a job."""
        return f"{self.gateway.url}/actors/v2/{self.actor}/messages?x-nonce={self.nonce}"

    def stored(self, job: Document) -> Document:
        """Return a job as it is now, with its whole history."""
        found = self.jobs.find_one_by_uuid(job["uuid"])
        assert found is not None
        return found

    def events(self, job: Document) -> list[str]:
        """Return the events that were applied to a job, but for its creation."""
        return [entry["name"] for entry in self.stored(job)["history"][1:]]

    def data(self, job: Document) -> Any:
        """Return the data of its last event."""
        return self.stored(job)["history"][-1]["data"]
