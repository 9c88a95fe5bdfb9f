from __future__ import annotations

import ast
import contextlib
import logging
import os
import re
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import SQLAlchemyError

from abaco.exceptions import SettingsError
from abaco.store import migrations, tables
from abaco.store.database import Database
from tests.abaco.running import NOWHERE, Client, RunningGateway, eventually

ALONE = True
"""What it has written is counted in bytes."""
Refused = Callable[[str], str]
PSYCOPG = "postgresql+psycopg://"
UNAVAILABLE = "The platform's database does not answer: try again later."


@contextlib.contextmanager
def locked(file: Path) -> Iterator[sqlite3.Connection]:
    """Write to a database, as another program, until the end of the block."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
        other.execute("ROLLBACK")


def of(gateway: RunningGateway) -> Path:
    return gateway.folder / "data" / "abaco.db"


# Migrations


def columns_of(file: Path) -> dict[str, list[str]]:
    """Return what makes up each table and index of a SQLite database, whatever its order."""
    with contextlib.closing(sqlite3.connect(file)) as other:
        made = dict(other.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    return {
        name: sorted(re.split(r",(?![^(]*\))", " ".join(sql.partition("(")[2].split())[:-1]))
        for name, sql in made.items()
    }


def test_the_migrations_make_the_tables_that_an_empty_database_is_given(tmp_path: Path) -> None:
    given, migrated = tmp_path / "given.db", tmp_path / "migrated.db"
    database = Database(f"sqlite:///{given}")
    engine = sqlalchemy.create_engine(f"sqlite:///{migrated}")
    try:
        migrations.upgrade(engine)
        for each in (database.engine, engine):
            with each.connect() as tx:
                options = {
                    "compare_type": True,
                    "compare_server_default": True,
                    # but for what is of PostgreSQL alone
                    "include_object": lambda each, *_: getattr(each, "_ddl_if", None) is None,
                }
                context = MigrationContext.configure(tx, opts=options)
                assert compare_metadata(context, tables.metadata) == []
                assert context.get_current_revision() == tables.VERSION == migrations.newest()
    finally:
        engine.dispose()
        database.close()
    assert "actors" in columns_of(given)
    assert columns_of(given) == columns_of(migrated)


def test_migrations_only_add_so_that_the_version_before_works_on() -> None:
    _first, *later = sorted((migrations.FOLDER / "versions").glob("0*.py"))
    assert len(later) > 2
    for file in later:
        calls = [
            each for each in ast.walk(ast.parse(file.read_text())) if isinstance(each, ast.Call)
        ]
        texts = {ast.unparse(call): ast.unparse(call.func).split(".")[-1] for call in calls}
        for text, name in texts.items():
            assert not name.startswith(("drop", "rename")), (file, text)
            if name == "add_column":
                assert re.search("nullable=True|server_default", text), (file, text)
            if name == "alter_column":
                # to more bits
                assert text.endswith("type_=sa.BigInteger())"), (file, text)
            if name == "execute":
                assert not re.search("DROP|DELETE|RENAME", text), (file, text)


def test_an_empty_database_is_made_without_alembic_which_takes_long_to_import(
    tmp_path: Path,
) -> None:
    code = "import sys; from abaco.store.database import Database; Database(sys.argv[1])"
    code += "; sys.exit('alembic' in sys.modules)"
    url = f"sqlite:///{tmp_path / 'abaco.db'}"
    subprocess.run([sys.executable, "-c", code, url], check=True)


def test_a_database_is_opened_again_as_it_is(tmp_path: Path) -> None:
    for _ in range(2):
        database = Database(f"sqlite:///{tmp_path / 'abaco.db'}")
        database.check()
        database.close()


def test_what_was_just_written_shows_that_it_can_be_written(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'abaco.db'}")
    with contextlib.closing(database):
        with database.write():
            pass
        with locked(tmp_path / "abaco.db"):
            database.check()


def test_a_database_of_a_later_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "abaco.db"
    Database(f"sqlite:///{file}").close()
    with contextlib.closing(sqlite3.connect(file)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SettingsError, match="was written by a later version of this program"):
        Database(f"sqlite:///{file}")


@pytest.mark.long
def test_several_programs_may_start_on_an_empty_folder_at_once(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path)
    create = ("token", "create", "--user", "ada")
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: gateway.command(*create), range(4)))
    assert [(run.returncode, run.stderr) for run in made] == [(0, "")] * 4
    assert len(gateway.command("token", "list").stdout.splitlines()) == 4


# Writers


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'abaco.db'}")
    yield opened
    opened.close()


def test_writers_get_their_turn_in_the_order_in_which_they_ask(database: Database) -> None:
    order: list[int] = []

    def write(number: int) -> None:
        with database.write():
            order.append(number)

    with ThreadPoolExecutor(8) as pool:
        with database.write():
            for number in range(8):
                pool.submit(write, number)
                eventually(lambda: len(database._turns._waiting) > number)  # noqa: B023 - at once
        pool.shutdown()
    assert order == list(range(8))


def test_a_writer_whose_turn_does_not_come_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write() -> None:
        with database.write():
            pass

    monkeypatch.setattr("abaco.store.database.BUSY_SECONDS", 0.05)
    with ThreadPoolExecutor(1) as pool:
        with database.write():
            assert isinstance(pool.submit(write).exception(), SQLAlchemyError)
        pool.submit(write).result()


# A start with a database that cannot be used


def keep_cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def keep_head(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as content:
        content.seek(4096)
        content.write(os.urandom(size - 4096))


def keep_nothing(file: Path) -> None:
    file.write_bytes(b"something else " * 1000)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RunningGateway:
    """A gateway that has stopped, with an actor in its database."""
    gateway = RunningGateway(tmp_path_factory.mktemp("stopped")).start()
    with gateway.client() as client:
        client.actor(NOWHERE)
    assert gateway.stop() == 0
    return gateway


@pytest.fixture
def refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Refused:
    """Starts a gateway with a database, which fails; returns the one line that says why."""
    caplog.set_level(logging.INFO)

    def serve(database: str) -> str:
        gateway = RunningGateway(tmp_path, settings={"database": database})
        (line,) = gateway.complaint("serve", "--port=0").splitlines()
        assert caplog.messages == []
        return line

    return serve


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (keep_cut, "database disk image is malformed"),
        (keep_head, "database disk image is malformed"),
        (keep_nothing, "file is not a database"),
    ],
)
def test_a_damaged_database_is_said(
    stopped: RunningGateway,
    refused: Refused,
    tmp_path: Path,
    damage: Callable[[Path], None],
    reason: str,
) -> None:
    file = tmp_path / "damaged.db"
    file.write_bytes(of(stopped).read_bytes())
    damage(file)
    line = refused(f"sqlite:///{file}")
    assert line == f"ERROR the platform's database cannot be used: {reason} (sqlite:///{file})"


def test_a_database_that_is_read_only_is_said(stopped: RunningGateway, refused: Refused) -> None:
    line = refused(f"sqlite:///file:{of(stopped)}?mode=ro&uri=true")
    assert "cannot be used: attempt to write a readonly database (sqlite" in line


def test_a_database_that_another_program_holds_is_said(
    stopped: RunningGateway, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abaco.store.database.BUSY_SECONDS", 1)
    with locked(of(stopped)):
        line = refused(f"sqlite:///{of(stopped)}")
    assert "cannot be used: database is locked (sqlite" in line


@pytest.mark.parametrize(
    ("database", "reason"),
    [
        ("sqlite:////nowhere/at/all.db", "unable to open database file (sqlite:////nowhere"),
        ("memory", "the value of database in the configuration is not a URL such as"),
        ("abacus://u:s3cret@host/d", "sqlalchemy.dialects:abacus (abacus://host/d)"),
        ("abacus://h/d?password=s3cret", "sqlalchemy.dialects:abacus (abacus://h/d)"),
        (f"{PSYCOPG}u:1@s3cret@127.0.0.1:9/d", "in the password percent-encoded"),
        (f"{PSYCOPG}u:1@2/s3cret@127.0.0.1:9/d", "in the password percent-encoded"),
        (f"{PSYCOPG}u:s3cret", "is not a URL such as postgresql+psycopg://USER:"),
        (f"{PSYCOPG}u:1@127.0.0.1:s3cret/d", "is not a URL such as"),
        (f"{PSYCOPG}u:s3cret%2F@127.0.0.1:9/d", "(postgresql+psycopg://127.0.0.1:9/d)"),
        (f"{PSYCOPG}127.0.0.1:9/d?user=u&password=s3cret", "(postgresql+psycopg://127.0.0.1:9/d)"),
    ],
)
def test_a_database_that_is_not_there_is_said(refused: Refused, database: str, reason: str) -> None:
    line = refused(database)
    assert line.startswith("ERROR the platform's database cannot be used: ")
    assert reason in line
    assert "s3cret" not in line


# A database that fails while the gateway runs


def statuses(client: Client) -> list[int]:
    """Return how the gateway answers whether it lives, is ready, and can be read."""
    base = f"http://{client.base_url.netloc.decode()}"
    probes = [httpx.get(f"{base}/{name}").status_code for name in ("healthz", "readyz")]
    return [*probes, client.get("/").status_code]


@pytest.mark.long
def test_nothing_accepted_is_lost_while_another_program_holds_the_database(
    gateway: RunningGateway, ada: Client, tmp_path: Path
) -> None:
    actor = ada.actor("cold")
    gate = tmp_path / "gate"
    before = [
        ada.submit(actor, {"print": "first", "touch": f"{gate}-begun", "wait for": str(gate)}),
        ada.submit(actor, {"print": "second"}),
    ]
    eventually(Path(f"{gate}-begun").exists)
    with locked(of(gateway)):
        gate.touch()
        assert ada.refusal("POST", f"/{actor}/messages", 503, json={"print": 3}) == UNAVAILABLE
        eventually(lambda: statuses(ada) == [200, 503, 200])
    # it looks at the database once a second
    eventually(lambda: statuses(ada) == [200, 200, 200])
    after = ada.submit(actor, {"print": "third"})
    assert [ada.ended(actor, each)["exitCode"] for each in (*before, after)] == [0, 0, 0]
    assert [ada.logs(actor, each) for each in before] == ["first\n", "second\n"]
    # what was refused is not done later
    assert ada.result("GET", f"/{actor}/executions")["totalExecutions"] == 3
    assert "Traceback" not in gateway.log.read_text()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is a call of Linux")
def test_nothing_accepted_is_lost_when_the_disk_is_full(
    gateway: RunningGateway, ada: Client
) -> None:
    actor = ada.actor("cold")
    accepted = [ada.submit(actor, {"print": "first"})]
    lifted = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
    full = (Path(f"{of(gateway)}-wal").stat().st_size, lifted[1])
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, full)
    try:
        replies = [ada.post(f"/{actor}/messages", json={"print": 2}) for _ in range(20)]
        refusals = [reply for reply in replies if reply.status_code != 200]
        assert refusals
        assert {(r.status_code, r.json()["message"]) for r in refusals} == {(503, UNAVAILABLE)}
        assert statuses(ada)[::2] == [200, 200]
    finally:
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, lifted)
    accepted += [r.json()["result"]["executionId"] for r in replies if r.status_code == 200]
    accepted.append(ada.submit(actor, {"print": "last"}))
    assert {ada.ended(actor, each)["exitCode"] for each in accepted} == {0}
    listed = [each["id"] for each in ada.result("GET", f"/{actor}/executions")["executions"]]
    assert listed == accepted
    assert "Traceback" not in gateway.log.read_text()
