"""Fixtures: a real database server for the whole run, a fresh database for each test."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest
import trustme
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from datacatalog import mongo
from datacatalog.linkedstores.basestore import contention
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from local.database import LocalDatabase, Server
from tests.databases import place
from tests.reliability.soak import is_long

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 20
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
SERVICES = bool(POSTGRES) and RABBITMQ.exists()
NO_SERVICES = (
    "No PostgreSQL and RabbitMQ are found: the gateway was not tested on several machines. "
    "`make services` installs them."
)
BROWSER = shutil.which("chromium") if shutil.which("chromedriver") else None
"""A real one, for the page; without it the tests in it are left out."""
ENGINES = [
    name
    for name, programs in {"docker": ("dockerd", "runc"), "podman": ("podman", "runc")}.items()
    if os.geteuid() == 0 and all(map(shutil.which, programs))
]
"""Those for containers that can be started here; the tests of those that cannot are left out."""
ADMIN = {
    "CATALOG_ADMIN_TOKEN_KEY": "key-of-the-tests",
    "CATALOG_ADMIN_TOKEN_SECRET": "secret-of-the-tests",
}
TACOBOT = {
    "name": "Tacobot 9000",
    "description": "Makes tacos",
    "id": "tacobot",
    "components": [
        {"id": "eqMyqq4xB1Lqa", "image": "index.docker.io/tacc/tacbobot:latest", "options": {}},
        {"id": "bbq-brisket-0.5.0", "inputs": {}, "parameters": {"smoke": True}},
    ],
    "processing_levels": ["1"],
}

MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's own folder for files in memory
ROOM_BYTES = 4 * 1024**3
"""More than twice what a run of all tests was seen to need there."""

SHARED_DATABASE = "PIPELINEJOBS_TEST_DATABASE"
"""A variable: the folder of a local database that runs already, for many short runs of the tests."""

BUSY = ("reliability", "pipelinejobs", "local", "docs", "deployment", "bench", "test_demo.py")
"""Where tests start many programs and wait for them: a module may take most of a minute."""

TOGETHER = (
    "tests/abaco/http/endpoints",
    "tests/abaco/workers/fleet",
    "tests/pipelinejobs",
    "tests/pipelinejobs/page",
)
"""Folders whose modules share what takes long to start: one process runs them, one after the other."""

# what a shell starts in the background ignores Ctrl-C, and what nohup starts the end of a terminal;
# so would all that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Together(LoadFileScheduling):  # type: ignore[misc] # xdist publishes no types
    """Gives the tests of a module to one process, or those of a folder whose modules share much."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """Return the module or the folder whose tests are run by one process."""
    module = nodeid.partition("::")[0]
    folder = module.rpartition("/")[0]
    return folder if folder in TOGETHER else module


def temporary_folder() -> str:
    """Return where the tests keep their files: in memory, where there is room and `TMPDIR` is not set.

    A run makes dozens of databases, each of which waits for the disk whenever something is written.
    """
    if "TMPDIR" not in os.environ and MEMORY.is_dir():
        found = os.statvfs(MEMORY)
        room = min(found.f_bavail * found.f_frsize, psutil.virtual_memory().available // 2)
        if room >= ROOM_BYTES and not found.f_flag & os.ST_NOEXEC and os.access(MEMORY, os.W_OK):
            return str(MEMORY)
    return tempfile.gettempdir()


def pytest_configure(config: pytest.Config) -> None:
    """Let what the tests leave in the folder for temporary files, as what they kill does, go with them.

    Those of a test that fails stay until the next run, for whoever looks into it.
    """
    if hasattr(config, "workerinput"):
        return
    place = temporary_folder()
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", place)
    # sockets are made in it, whose paths have to be short
    folder = tempfile.mkdtemp(prefix="tests-", dir=place)
    # PostgreSQL runs as a user of its own
    Path(folder).chmod(0o711)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    """Return what says which process runs a test."""
    return Together(config, log)


# none of what thousands of tests import is garbage, though it would be looked through again and again
gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage again, among what the tests make."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what takes long begin early, among the others, so that none of it is the last.

    Tests that run side by side would else wait for it, or all of these compete for the processors.
    """
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        units.setdefault(unit_of(item.nodeid), []).append(item)
    busy = [unit for unit in units if unit.split("/")[1] in BUSY and unit not in TOGETHER]
    others = [unit for unit in units if unit not in (*busy, *TOGETHER)]
    places = dict.fromkeys(TOGETHER, -1.0)
    places |= {unit: number / len(busy) * 3 / 4 for number, unit in enumerate(busy)}
    places |= {unit: number / len(others) for number, unit in enumerate(others)}
    items[:] = [item for unit in sorted(units, key=places.__getitem__) for item in units[unit]]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave what takes long to the soak."""
    if item.get_closest_marker("long") and not is_long():
        pytest.skip("make soak does it")


def hang_up(client: pymongo.MongoClient[Document]) -> None:
    """Close the connections of a client, whose server may be gone: it is not waited for."""
    with pymongo.timeout(0.5):
        client.close()


@contextlib.contextmanager
def hanging_up() -> Iterator[None]:
    """Close, at the end of the block, the connections that stores of this process have made in it."""
    opened: list[pymongo.MongoClient[Document]] = []
    connect = mongo._client.__wrapped__

    def connect_and_note(uri: str, timeout: float) -> pymongo.MongoClient[Document]:
        opened.append(connect(uri, timeout))
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mongo, "_client", functools.cache(connect_and_note))
        yield
    for client in opened:
        hang_up(client)


@pytest.fixture(scope="session", autouse=True)
def connected() -> Iterator[None]:
    """Leave no connection open that tests share."""
    with hanging_up():
        yield


@pytest.fixture(scope="session", autouse=True)
def few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let clients trust one authority, which nobody has: no test asks a server elsewhere.

    To read all that the world trusts takes each of the thousands of clients 20 ms.
    """
    file = tmp_path_factory.mktemp("authorities") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what the machine that runs the tests has set for a catalog of its own."""
    for name in os.environ:
        if name.startswith(("CATALOG_", "TACC_", "_REACTOR_", "_abaco_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    shared = os.environ.get(SHARED_DATABASE)
    database = LocalDatabase(Path(shared)) if shared else place(tmp_path_factory.mktemp("local"))
    started = database.start()
    if shared:
        # what never gets its turn there is at fault, and not only late
        contention.MAX_SECONDS = 5.0
        yield started
        return
    yield started
    mongo.connect({"authn": started.uri, "timeout": TIMEOUT}).client.close()
    # nobody needs its data any more: to let it put that in order takes up to half a minute
    os.kill(started.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def mongo_client(server: Server) -> Iterator[pymongo.MongoClient[Document]]:
    client: pymongo.MongoClient[Document] = pymongo.MongoClient(server.uri, tz_aware=True)
    yield client
    client.close()


@pytest.fixture
def mongodb(
    server: Server, mongo_client: pymongo.MongoClient[Document]
) -> Iterator[dict[str, Any]]:
    """The settings of a database that only this test uses."""
    name = f"test_{secrets.token_hex(6)}"
    yield {"authn": server.uri, "database": name, "timeout": TIMEOUT}
    if SHARED_DATABASE in os.environ:
        # a server of its own is killed in the end, with all that it has; to drop takes its time
        mongo_client.drop_database(name)


@pytest.fixture
def db(
    mongodb: dict[str, Any], mongo_client: pymongo.MongoClient[Document]
) -> pymongo.database.Database[Document]:
    """The same database, for looking at what is really stored."""
    return mongo_client[mongodb["database"]]


@pytest.fixture
def admin_token(monkeypatch: pytest.MonkeyPatch) -> str:
    """A valid administrative token, with its key and secret in the environment."""
    from datacatalog.tokens import get_admin_token

    for name, value in ADMIN.items():
        monkeypatch.setenv(name, value)
    return get_admin_token(ADMIN["CATALOG_ADMIN_TOKEN_KEY"])


@pytest.fixture
def jobs(mongodb: dict[str, Any]) -> PipelineJobStore:
    return PipelineJobStore(mongodb)


@pytest.fixture
def pipeline(mongodb: dict[str, Any]) -> Document:
    """The pipeline Tacobot 9000, with `_update_token`."""
    return PipelineStore(mongodb).add_update_document(TACOBOT)


@pytest.fixture
def job(jobs: PipelineJobStore, pipeline: Document) -> Document:
    """A new job, with `_update_token`."""
    return jobs.create(
        {
            "pipeline_uuid": pipeline["uuid"],
            "archive_path": "/products/v2/tacos",
            "data": {"tacos": 3},
        }
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was left out."""
    if BROWSER is None:
        terminalreporter.write_line(
            "No chromium with chromedriver is found: the page was not tested in a browser. "
            "`make browser` installs them."
        )
    missing = [name for name in ("docker", "podman") if name not in ENGINES]
    if missing:
        terminalreporter.write_line(
            f"{' and '.join(missing)} cannot be started: no container of it was tested. "
            "`make engines` installs them, and root may start them."
        )
    if not SERVICES:
        terminalreporter.write_line(NO_SERVICES)
