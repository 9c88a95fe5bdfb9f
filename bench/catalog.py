"""A catalog to measure on: a database server of its own, and jobs in it."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from local.database import LocalDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacatalog.mongo import Document


class Catalog:
    """Jobs of one pipeline.

    Args:
        mongodb: settings of the database.
        pid: of its server.
    """

    def __init__(self, mongodb: dict[str, Any], pid: int) -> None:
        self.mongodb, self.pid = mongodb, pid
        self.jobs = PipelineJobStore(mongodb)
        self._pipeline = PipelineStore(mongodb).add_update_document(
            {
                "name": "Bench",
                "id": "bench",
                "components": [{"id": "bench-1.0", "inputs": {}, "parameters": {}}],
                "processing_levels": ["1"],
            }
        )
        self._count = 0

    def running_job(self) -> Document:
        """Return a new job, with `_update_token`, that has had its first event."""
        self._count += 1
        job = self.jobs.create(
            {
                "pipeline_uuid": self._pipeline["uuid"],
                "archive_path": f"/products/v2/bench/{self._count}",
                "data": {"number": self._count},
            }
        )
        return self.jobs.handle({"uuid": job["uuid"], "name": "run"}, job["_update_token"])

    def update(self, job: Document, number: int) -> None:
        """Send a job an event with some data, and wait until it is on disk."""
        event = {"uuid": job["uuid"], "name": "update", "data": {"step": number, "note": "well"}}
        self.jobs.handle(event, job["_update_token"], key=f"{job['uuid']}:{number}")


@contextlib.contextmanager
def catalog() -> Iterator[Catalog]:
    """Give a catalog on a server that is stopped and removed in the end."""
    with tempfile.TemporaryDirectory() as folder:
        database = LocalDatabase(Path(folder))
        try:
            server = database.start()
            yield Catalog({"authn": server.uri, "database": "bench"}, server.pid)
        finally:
            database.stop()
