"""A broker that lets nobody in is said in one line, by whoever meets it, without its password."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from pathlib import Path

import pytest
import sqlalchemy

from abaco.store import tables
from abaco.store.database import Database
from abaco.workers.fleet import bell
from abaco.workers.fleet.bell import RUN, Ring
from pipelinejobs import fleet as doctor
from tests import services
from tests.abaco.running import RunningGateway, eventually
from tests.conftest import NO_SERVICES, SERVICES

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)
WRONG = "s3cret"
REASONS = {
    f"guest:{WRONG}@": "RabbitMQ refuses the user or the password",
    "guest:guest@": "RabbitMQ refuses the virtual host, which is not there or not the user's",
}


def wrong_urls(rabbitmq: services.RabbitMQ) -> dict[str, str]:
    """Return URLs that the broker refuses, each with the reason."""
    return {
        f"{rabbitmq.url.replace('guest:guest@', who)}nowhere": reason
        for who, reason in REASONS.items()
    }


def test_a_bell_names_the_setting_once(
    rabbitmq: services.RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    for url, reason in wrong_urls(rabbitmq).items():
        caplog.clear()
        with contextlib.closing(bell.Bell(url, "broker in abaco.yml")) as ringing:
            for actor in "ab":
                ringing.ring(Ring(RUN, "execution", actor, True))
            eventually(functools.partial(getattr, ringing, "is_away"))
        lines = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
        assert lines == [f"broker in abaco.yml: {reason}"]


def test_a_node_and_doctor_name_it(
    postgres: services.Postgres,
    rabbitmq: services.RabbitMQ,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = {"engine": "celery", "database": postgres.database(), "public_url": "http://h"}
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    for url, reason in wrong_urls(rabbitmq).items():
        node = RunningGateway(tmp_path, settings={**settings, "broker": url})
        said = node.complaint("worker", "--port=0")
        assert said.splitlines() == [f"ERROR {node.configuration}: broker: {reason}"]
        assert caplog.messages == []
        (found,) = doctor.examine()
        assert found == ("broker", reason, "correct broker in abaco.yml", True)


def test_doctor_changes_no_database_of_another_version(
    postgres: services.Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database = postgres.database()
    settings = {"engine": "celery", "broker": "amqp://h", "public_url": "http://h"}
    Path("abaco.yml").write_text(json.dumps({**settings, "database": database}))
    engine = sqlalchemy.create_engine(database, poolclass=sqlalchemy.NullPool)
    (found,) = doctor.examine()
    assert "has no tables yet" in found.found
    assert sqlalchemy.inspect(engine).get_table_names() == []
    Database(database).close()
    for version in ("0004", "9999"):
        with engine.begin() as tx:
            tx.execute(sqlalchemy.update(tables.versions).values(version_num=version))
        (found,) = doctor.examine()
        assert (found.subject, found.is_bad) == ("fleet", True)
        assert f"is of version {version}, and this program works with" in found.found
        with engine.begin() as tx:
            assert tx.scalar(sqlalchemy.select(tables.versions.c.version_num)) == version


def test_doctor_says_why_the_database_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"engine": "celery", "broker": "amqp://h", "public_url": "http://h"}
    for place, reason in {
        "127.0.0.1:9/d": "Connection refused (postgresql+psycopg://127.0.0.1:9/d)",
        f"127.0.0.1:{WRONG}/d": "is not a URL such as",
    }.items():
        database = f"postgresql+psycopg://abaco:{WRONG}@{place}"
        Path("abaco.yml").write_text(json.dumps({**settings, "database": database}))
        (found,) = doctor.examine()
        assert (found.subject, found.is_bad) == ("fleet", True)
        assert reason in found.found
        assert WRONG not in found.found
