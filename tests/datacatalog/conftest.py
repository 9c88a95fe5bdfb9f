"""Fixtures for the tests of the catalog."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import bson
import pymongo
import pytest
from pymongo.monitoring import CommandListener, CommandStartedEvent

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.file import FileStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.managers.pipelinejobs import ManagedPipelineJob
from datacatalog.mongo import Db, Document
from local.database import Server
from reactors.client import make_client
from tests.conftest import hang_up
from tests.datacatalog.places import Here, Place, Remote
from tests.datacatalog.storage import Storage
from tests.datacatalog.vectors import VECTORS

Send = Callable[..., Document]
in_both_places = pytest.mark.parametrize("place", ["remote", "here"], indirect=True)
"""Of a test that asks the storage system something of its own."""
Make = Callable[..., ManagedPipelineJob]
PIPELINES = {**VECTORS["pipelines"], "job_manager_nonce": "TEST_nonce"}
EXPERIMENT, SAMPLE, SAMPLE_2 = "experiment.tacc.10001", "sample.tacc.20001", "sample.tacc.20002"
SAMPLE_UUID = typeduuid.catalog_uuid("a sample", "sample")
OTHER_UUID = typeduuid.catalog_uuid("another sample", "sample")


def public(document: Document | None) -> Document:
    """Return what anybody may know of a document."""
    assert document is not None
    return {field: value for field, value in document.items() if not field.startswith("_")}


@pytest.fixture
def files(mongodb: dict[str, Any]) -> FileStore:
    return FileStore(mongodb)


@pytest.fixture(scope="session", autouse=True)
def closed_connections(server: Server) -> Iterator[None]:
    """Close, in the end, the connections that stores keep for the life of a process."""
    yield
    clients = [thing for thing in gc.get_objects() if type(thing) is pymongo.MongoClient]
    with ThreadPoolExecutor(max(1, len(clients))) as pool:
        list(pool.map(hang_up, clients))


@pytest.fixture
def send(jobs: PipelineJobStore, job: Document) -> Send:
    """Send an event to the job, with its own token unless another one is given."""

    def send_event(
        name: str, data: Any = None, token: str | None = None, **options: Any
    ) -> Document:
        event = {"uuid": job["uuid"], "name": name, "data": {} if data is None else data}
        return jobs.handle(event, job["_update_token"] if token is None else token, **options)

    return send_event


class Recorder(CommandListener):
    """Notes the commands that reach the server."""

    def __init__(self) -> None:
        self.events: list[CommandStartedEvent] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command:  # what signs in is not told
            self.events.append(event)

    def succeeded(self, event: object) -> None:
        pass

    def failed(self, event: object) -> None:
        pass

    @property
    def commands(self) -> list[str]:
        """Each command with its collection, such as `find jobs`."""
        return [
            f"{event.command_name} {event.command[event.command_name]}" for event in self.events
        ]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def recorded_jobs(
    server: Server, mongodb: dict[str, Any], recorder: Recorder
) -> Iterator[PipelineJobStore]:
    """A store whose commands are noted."""
    with pymongo.MongoClient[Document](server.uri, event_listeners=[recorder]) as client:
        yield PipelineJobStore(client[mongodb["database"]])


class Weight(NamedTuple):
    """Bytes of BSON."""

    sent: int
    received: int


class Scales(Recorder):
    """Notes the commands, and how large they and their answers are."""

    def __init__(self) -> None:
        super().__init__()
        self.received = 0

    def succeeded(self, event: Any) -> None:
        self.received += len(bson.encode(event.reply))

    def forget(self) -> None:
        """Begin again."""
        self.events.clear()
        self.received = 0

    def weigh(self) -> Weight:
        """Return what was noted."""
        return Weight(sum(len(bson.encode(event.command)) for event in self.events), self.received)

    def looked_at(self, db: Db) -> int:
        """Return how many documents the server looks at to find what was asked for."""
        counted = 0
        for event in list(self.events):
            collection = event.command[event.command_name]
            for query in _queries(event.command):
                find = {"find": collection, "filter": query}
                explained = db.command({"explain": find, "verbosity": "executionStats"})
                counted += explained["executionStats"]["totalDocsExamined"]
        return counted


def _queries(command: Mapping[str, Any]) -> list[Any]:
    """Return the conditions that a command has for what it reads or changes."""
    if "updates" in command:
        return [update["q"] for update in command["updates"]]
    return [command[name] for name in ("filter", "query") if name in command]


@pytest.fixture
def scales() -> Scales:
    return Scales()


@pytest.fixture
def weighed(server: Server, mongodb: dict[str, Any], scales: Scales) -> Iterator[PipelineJobStore]:
    """A store whose commands are weighed."""
    with pymongo.MongoClient[Document](server.uri, event_listeners=[scales]) as client:
        yield PipelineJobStore(client[mongodb["database"]])


@pytest.fixture
def make(mongodb: dict[str, Any], db: Db) -> Make:
    """Make a job, with the documents that the vectors refer to in the catalog."""
    collections: dict[str, list[Document]] = {}
    for collection, key, name, uuid in VECTORS["catalog"]:
        collections.setdefault(collection, []).append({"uuid": uuid, key: name})
    for collection, documents in collections.items():
        db[collection].insert_many(documents)

    def make_job(**given: Any) -> ManagedPipelineJob:
        return ManagedPipelineJob(mongodb, given.pop("pipelines", PIPELINES), **given)

    return make_job


@pytest.fixture
def managed(make: Make) -> ManagedPipelineJob:
    """A job that is set up."""
    return make(experiment_id=EXPERIMENT, data={"tacos": 3}, session="solid-snake").setup()


@pytest.fixture(scope="session")
def platform() -> Iterator[tuple[Storage, Any]]:
    """A storage system behind the files API, and a client of the platform, agavepy's own."""
    with Storage() as storage:
        yield storage, make_client(storage.environ)


@pytest.fixture
def storage(platform: tuple[Storage, Any]) -> Storage:
    """An empty storage system."""
    platform[0].empty()
    return platform[0]


@pytest.fixture
def client(platform: tuple[Storage, Any]) -> Any:
    """A client of the platform."""
    return platform[1]


@pytest.fixture
def remote(storage: Storage, client: Any) -> Remote:
    """An empty storage system behind the files API."""
    return Remote(storage, client)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    """An empty storage system in a folder of this machine."""
    return Here(tmp_path)


@pytest.fixture(params=[pytest.param("remote", marks=pytest.mark.long), "here"])
def place(request: pytest.FixtureRequest) -> Place:
    """An empty storage system of either kind."""
    found: Place = request.getfixturevalue(request.param)
    return found
