"""The gateway, the platform around it, and the actors on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from tests.abaco.running import Client, RunningGateway, eventually
from tests.conftest import ROOT
from tests.siblings.platform import Platform

FOLDER = Path(__file__).parent / "actors"
MANAGER = "pipelinejobs-manager"
SIBLINGS = (
    *("launcher", "wrapper", "registrar", "indexer"),
    *("eventer", "auditor", "uploads-manager", "uploads-indexer"),
)


def images() -> dict[str, Any]:
    """Return what `images.yml` says: the manager as it is shipped, and the others beside it."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "images.yml").read_text())
    for image in found.values():
        image["folder"] = str(ROOT)
    for name in SIBLINGS:
        found[name] = {
            "folder": str(FOLDER / name),
            "command": ["python3", "reactor.py"],
            "mode": "warm",
            "handler": "reactor:main",
            "environment": {"PYTHONPATH": f"{ROOT}:{FOLDER}"},
        }
    found["cold launcher"] = {**found["launcher"], "mode": "cold"}
    return found


@dataclass
class Site:
    """What the tests of a module share.

    Attributes:
        storage: the folder of the storage system.
        environment: of each actor.
        actors: their ids.
    """

    gateway: RunningGateway
    platform: Platform
    ada: Client
    mongodb: dict[str, Any]
    environment: dict[str, str]
    storage: Path
    nonce: str = ""
    actors: dict[str, str] = field(default_factory=dict)

    def register(self, image: str, **more: str) -> str:
        """Register an actor, with further variables of its environment."""
        self.actors[image] = self.ada.actor(
            image, name=image, token=True, defaultEnvironment={**self.environment, **more}
        )
        return self.actors[image]

    def run(self, image: str, message: Any, **parameters: str) -> tuple[dict[str, Any], str]:
        """Send a message to an actor; return its execution when that has ended, and the log."""
        actor = self.actors[image]
        execution = self.ada.run(actor, message, params=parameters)
        return execution, self.ada.logs(actor, execution["id"])

    def stored(self, uuid: str) -> Document:
        """Return a job as users find it."""
        found = PipelineJobStore(self.mongodb).find_one_by_uuid(uuid)
        assert found is not None
        return found

    def history(self, uuid: str) -> list[str]:
        """Return the names of a job's events."""
        return [entry["name"] for entry in self.stored(uuid)["history"]]

    def until(self, uuid: str, event: str) -> Document:
        """Return a job when the latest that has happened to it is a certain event."""
        eventually(lambda: self.stored(uuid)["last_event"] == event)
        return self.stored(uuid)

    def executions(self) -> list[tuple[str, dict[str, Any], str]]:
        """Return all executions, when they have ended: image, execution, log."""
        found = []
        for image, actor in self.actors.items():
            for listed in self.ada.result("GET", f"/{actor}/executions")["executions"]:
                execution = self.ada.ended(actor, listed["id"])
                found.append((image, execution, self.ada.logs(actor, listed["id"])))
        return found
