"""The actor as a process, started as the platform starts it."""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datacatalog.mongo import Document
from tests.actor import (
    ACTOR_ID,
    ALOE_POST,
    BY_NONCE,
    NONCE,
    UNKNOWN_JOB,
    Actor,
    Run,
    event,
    tapis,
    url,
)
from tests.conftest import ADMIN
from tests.loopback import TOKEN
from tests.tenant import Answer, Tenant

PASSWORD = "pa55word-0f-the-tests"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) \S.*")


@pytest.fixture
def actor(mongodb: dict[str, Any], tmp_path: Path) -> Iterator[Actor]:
    actor = Actor(mongodb, tmp_path)
    yield actor
    actor.close()


@pytest.fixture
def offline(tmp_path: Path) -> Iterator[Actor]:
    """An actor whose database is not there."""
    actor = Actor({"authn": "", "database": "nowhere", "timeout": 0.5}, tmp_path)
    yield actor
    actor.close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


EX_TEMPFAIL = 75
"""Of sysexits.h: try again later."""


def refused(run: Run, text: str, code: int = 1) -> None:
    """Check that an execution failed with one line, this one."""
    assert (run.code, len(run.lines), run.message) == (code, 1, f"ERROR {text}")
    assert LINE.fullmatch(run.lines[0])


# The end of an execution


def test_what_was_processed_ends_with_0_and_one_line(actor: Actor, job: Document) -> None:
    run = actor.run(event(job, "run"))

    assert run.code == 0
    assert [bool(LINE.fullmatch(line)) for line in run.lines] == [True]
    assert run.message == f"INFO job {job['uuid']}: run event, state RUNNING, revision 1"
    assert run.answer == {
        "uuid": job["uuid"],
        "state": "RUNNING",
        "last_event": "run",
        "revision": 1,
    }
    assert actor.job(job["uuid"])["state"] == "RUNNING"


def test_a_life_of_a_job(actor: Actor, pipeline: Document) -> None:
    body = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/x", "data": {"salsa": None}}
    created = actor.run(repr({**body, "session": "spicy-badger"})).answer or {}
    job = {"uuid": created["uuid"], "_update_token": created["token"]}

    runs = [
        actor.run(repr({**ALOE_POST, "_links": None}), url(job)),
        actor.run("", url(job, status="HEARTBEAT")),
        actor.run("it is done", url(job, name="finish")),
        actor.run(event(job, "run")),
        actor.run({"uuid": job["uuid"], "action": "delete", "token": job["_update_token"]}),
    ]

    assert [run.code for run in runs] == [0, 0, 0, 1, 0]
    assert [len(run.lines) for run in runs] == [1] * 5
    assert [(run.answer or {}).get("state") for run in runs] == [
        "RUNNING",
        "RUNNING",
        "FINISHED",
        None,
        None,
    ]
    assert runs[4].answer == {"uuid": job["uuid"], "deleted": "hidden"}


def test_a_finish_of_tapis_that_overtakes_its_run_is_applied_by_a_later_delivery(
    actor: Actor, job: Document
) -> None:
    """As the platform hands the notifications over: each as the Python literal of its JSON."""
    finish, started = repr(tapis("FINISHED", 2)), repr(tapis("RUNNING", 1))
    parameters = {**url(job), **BY_NONCE}

    runs = [actor.run(body, parameters) for body in (finish, started, finish, finish)]

    assert [run.code for run in runs] == [1, 0, 0, 0]
    refused(
        runs[0],
        "finish event: not allowed in state CREATED, which allows only run, update, resource, fail, reset",
    )
    assert [run.message for run in runs[1:]] == [
        f"INFO job {job['uuid']}: run event, state RUNNING, revision 1",
        f"INFO job {job['uuid']}: finish event, state FINISHED, revision 2",
        (
            f"INFO job {job['uuid']}: finish event, which an earlier delivery had applied, "
            "state FINISHED, revision 2"
        ),
    ]
    assert runs[2].answer == runs[3].answer
    everything = str(actor.dump())
    assert "deliveryAddress" not in everything
    assert NONCE not in everything + str(runs)


@pytest.mark.parametrize(
    ("body", "parameters", "text", "kind"),
    [
        ({"name": "finish"}, {}, "finish event: 'uuid' is missing", "invalid_message"),
        (
            "{'uuid': [",
            {},
            (
                "the message is not valid JSON (Expecting property name enclosed in double quotes "
                'at line 1 column 2, where "\'" is), and the URL names no job and event'
            ),
            "invalid_message",
        ),
        (
            {"uuid": UNKNOWN_JOB, "name": "run", "token": "0" * 16},
            {},
            f"run event: no job {UNKNOWN_JOB} that this token may change: there is none, it is hidden, or its token is another one",
            "not_authorized",
        ),
        (
            ALOE_POST,
            {"uuid": UNKNOWN_JOB, "x-nonce": "SD2E_any"},
            "run event: 'token' is missing: add the job's token to the URL (the parameter 'token')",
            "not_authorized",
        ),
    ],
    ids=["incomplete", "unreadable", "unknown job", "no token"],
)
def test_what_is_refused_ends_with_1_and_one_line(
    actor: Actor, body: Any, parameters: dict[str, str], text: str, kind: str
) -> None:
    run = actor.main(body, parameters)

    refused(run, text)
    assert run.answer == {"error": text, "kind": kind}


def test_a_wrong_token_ends_with_1_and_one_line(actor: Actor, job: Document) -> None:
    before = actor.dump()

    run = actor.run({**event(job, "run"), "token": "0" * 16})

    refused(
        run,
        f"run event: no job {job['uuid']} that this token may change: there is none, it is hidden, or its token is another one",
    )
    assert actor.dump() == before


def test_no_message_at_all_is_refused(actor: Actor) -> None:
    run = actor.run(without=("MSG",))

    assert (run.code, len(run.lines)) == (1, 1)
    assert "the message is empty" in run.message


def test_a_message_as_large_as_the_system_hands_over_is_kept(actor: Actor, job: Document) -> None:
    data = {"salsa": "x" * 130_000}

    assert actor.run(event(job, "run", data=data)).code == 0
    assert actor.job(job["uuid"])["history"][1]["data"] == data


def test_an_unknown_argument_is_answered_with_the_usage(actor: Actor, job: Document) -> None:
    run = actor.run(event(job, "run"), arguments=("drian",))

    assert run.code == 2
    assert any("python reactor.py drain" in line for line in run.lines)
    assert actor.job(job["uuid"])["state"] == "CREATED"


def test_a_file_of_its_own_in_the_working_directory_counts(
    actor: Actor, job: Document, tmp_path: Path
) -> None:
    (tmp_path / "config.yml").write_text(
        json.dumps({"mongodb": dict(actor.mongodb), "authorization": {"trusted_users": ["chef"]}})
    )
    by_file = tuple(name for name in actor.environ if name.startswith("_REACTOR_"))
    body = {"uuid": job["uuid"], "name": "run"}

    trusted = actor.run(body, {"_abaco_username": "chef"}, without=by_file, folder=tmp_path)
    other = actor.run(body, {"_abaco_username": "guest"}, without=by_file, folder=tmp_path)

    assert (trusted.code, other.code) == (0, 1)
    assert actor.job(job["uuid"])["state"] == "RUNNING"


# A database that is not there


@pytest.mark.parametrize(("form", "what"), [("plain", "event"), ("base64", "drain")])
def test_a_database_that_is_away_is_named_without_its_password(
    offline: Actor, closed_port: int, form: str, what: str
) -> None:
    uri = f"mongodb://cook:{PASSWORD}@127.0.0.1:{closed_port}/?authSource=admin"
    offline.environ["_REACTOR_MONGODB_AUTHN"] = (
        uri if form == "plain" else base64.b64encode(uri.encode()).decode()
    )
    body = {"uuid": UNKNOWN_JOB, "name": "run", "token": "0" * 16}
    start = time.monotonic()

    run = offline.run(body, arguments=("drain",) if what == "drain" else ())

    assert time.monotonic() - start < 15
    text = f"the database at 127.0.0.1:{closed_port} did not answer within 0.5 s: try again later"
    refused(run, text, EX_TEMPFAIL)
    assert run.answer == {"error": text, "kind": "unavailable"}
    assert PASSWORD not in str(run)


def test_a_database_that_hangs_is_given_up(offline: Actor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        offline.environ["_REACTOR_MONGODB_AUTHN"] = f"mongodb://127.0.0.1:{port}"
        start = time.monotonic()

        run = offline.run({"uuid": UNKNOWN_JOB, "name": "run", "token": "0" * 16})

    assert time.monotonic() - start < 15
    refused(
        run,
        f"the database at 127.0.0.1:{port} did not answer within 0.5 s: try again later",
        EX_TEMPFAIL,
    )


def test_several_servers_are_all_named(offline: Actor, closed_port: int) -> None:
    servers = f"127.0.0.1:{closed_port},localhost:{closed_port}"
    offline.environ["_REACTOR_MONGODB_AUTHN"] = f"mongodb://cook:{PASSWORD}@{servers}/catalog"

    run = offline.run({"uuid": UNKNOWN_JOB, "name": "run", "token": "0" * 16})

    assert (run.code, len(run.lines)) == (EX_TEMPFAIL, 1)
    assert all(server in run.message for server in servers.split(","))
    assert PASSWORD not in str(run)


# Settings that cannot be used


@pytest.mark.parametrize(
    ("authn", "text"),
    [
        (
            "",
            "mongodb.authn is not set: give a MongoDB URI, plain or in base64, in _REACTOR_MONGODB_AUTHN",
        ),
        (
            base64.b64encode(f"http://cook:{PASSWORD}@host".encode()).decode(),
            "mongodb.authn is neither a MongoDB URI nor the base64 of one",
        ),
        (f"mongodb://cook:{PASSWORD}@host:port/", "mongodb.authn is not a valid MongoDB URI"),
        (f"mongodb://cook:{PASSWORD}@@host/", "mongodb.authn is not a valid MongoDB URI"),
    ],
    ids=["none", "base64", "port", "at"],
)
def test_an_unusable_address_of_the_database_is_not_repeated(
    offline: Actor, authn: str, text: str
) -> None:
    offline.environ["_REACTOR_MONGODB_AUTHN"] = authn

    run = offline.main({"uuid": UNKNOWN_JOB, "name": "run", "token": "0" * 16})

    refused(run, text)
    assert run.answer == {"error": text, "kind": "invalid_settings"}
    assert PASSWORD not in str(run)


def test_an_option_that_the_driver_does_not_know_adds_no_line(actor: Actor, job: Document) -> None:
    actor.environ["_REACTOR_MONGODB_AUTHN"] += "&tacos=3"

    run = actor.run(event(job, "run"))

    assert len(run.lines) == 1
    assert run.code == 0 or "mongodb.authn" in run.message


@pytest.mark.parametrize("name", ["my catalog", "$catalog"])
def test_a_name_that_no_database_can_have_is_named(offline: Actor, name: str) -> None:
    offline.environ["_REACTOR_MONGODB_AUTHN"] = "mongodb://127.0.0.1:1"
    offline.environ["_REACTOR_MONGODB_DATABASE"] = name

    run = offline.main({"uuid": UNKNOWN_JOB, "name": "run", "token": "0" * 16})

    assert (run.code, len(run.lines)) == (1, 1)
    assert "mongodb.database" in run.message or "127.0.0.1:1" in run.message
    assert "unexpected" not in run.message


@pytest.mark.parametrize("arguments", [(), ("drain",)], ids=["event", "drain"])
@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("mongodb: {auth: hunter2}", "settings: mongodb.auth means nothing: did you mean authn?"),
        ("mongodb: {timeout: soon}", "settings: mongodb.timeout must be a number, not a string"),
        ("debug: maybe", "settings: debug must be true or false, not a string"),
        (
            "logs: {level: LOUD}",
            "settings: logs.level is 'LOUD': use one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        ),
    ],
    ids=["key", "type", "switch", "level"],
)
def test_a_mistake_in_the_file_is_named(
    offline: Actor, tmp_path: Path, content: str, text: str, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "config.yml").write_text(content + "\n")
    body = {"uuid": UNKNOWN_JOB, "name": "run", "token": "0" * 16}

    run = offline.main(
        body,
        arguments=arguments,
        folder=tmp_path,
        without=tuple(name for name in offline.environ if name.startswith("_REACTOR_")),
    )

    assert (run.code, len(run.lines)) == (1, 1)
    assert run.lines[0].endswith(f"ERROR {text}") or text.removeprefix("settings: ") in run.lines[0]
    assert "hunter2" not in str(run)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("mongodb: {authn: [\n", "not valid YAML"),
        ("- mongodb\n", "holds a list, not sections with keys"),
        ("just a text\n", "holds a str, not sections with keys"),
    ],
    ids=["syntax", "list", "text"],
)
def test_a_file_that_is_no_settings_is_named(
    offline: Actor, tmp_path: Path, content: str, text: str
) -> None:
    (tmp_path / "config.yml").write_text(content)

    run = offline.main("", folder=tmp_path)

    assert (run.code, len(run.lines)) == (1, 1)
    assert run.lines[0].startswith("ERROR ")
    assert f"{tmp_path}/config.yml" in run.lines[0]
    assert text in run.lines[0]


def test_without_any_settings_the_missing_one_is_named(offline: Actor, tmp_path: Path) -> None:
    run = offline.run(
        {"uuid": UNKNOWN_JOB, "name": "run"},
        folder=tmp_path,
        without=tuple(name for name in offline.environ if name.startswith("_REACTOR_")),
    )

    refused(
        run,
        "mongodb.authn is not set: give a MongoDB URI, plain or in base64, in _REACTOR_MONGODB_AUTHN",
    )


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("_REACTOR_MONGODB_TIMEOUT", "hunter2", "_REACTOR_MONGODB_TIMEOUT must be a number"),
        ("_REACTOR_STATE_EXIT", "hunter2", "_REACTOR_STATE_EXIT must be true or false"),
        (
            "_REACTOR_MONGODB_AUTH",
            "hunter2",
            "settings: mongodb.auth means nothing: did you mean authn?",
        ),
        (
            "CATALOG_ADMIN_TOKEN_LIFETIME",
            "soon",
            "CATALOG_ADMIN_TOKEN_LIFETIME is 'soon': give a positive number of seconds",
        ),
        (
            "CATALOG_ADMIN_TOKEN_LIFETIME",
            "0",
            "CATALOG_ADMIN_TOKEN_LIFETIME is '0': give a positive number of seconds",
        ),
        (
            "CATALOG_ADMIN_TOKEN_LIFETIME",
            "-1",
            "CATALOG_ADMIN_TOKEN_LIFETIME is '-1': give a positive number of seconds",
        ),
    ],
)
def test_a_mistake_in_a_variable_is_named(
    offline: Actor, variable: str, value: str, text: str
) -> None:
    offline.environ["_REACTOR_MONGODB_AUTHN"] = "mongodb://127.0.0.1:1"
    body = {"uuid": UNKNOWN_JOB, "name": "run", "token": "0" * 16}

    run = offline.main(body, {variable: value})

    assert (run.code, len(run.lines)) == (1, 1)
    assert run.lines[0].endswith(f"ERROR {text}")
    assert "hunter2" not in str(run)


# Logs


@pytest.mark.parametrize("form", ["json", "JSON"])
def test_json_logs_are_one_object_a_line(actor: Actor, job: Document, form: str) -> None:
    actor.environ["_REACTOR_LOGS_FORMAT"] = form
    messages = [event(job, "run"), event(job, "index"), {"name": "run\n"}]

    lines = [line for body in messages for line in actor.main(body).lines]

    records = [json.loads(line) for line in lines]
    assert [(record["level"], record["message"].partition(":")[0]) for record in records] == [
        ("INFO", f"job {job['uuid']}"),
        ("ERROR", "index event"),
        ("ERROR", "event"),
    ]
    for record in records:
        assert set(record) == {"time", "level", "message", "actor_id", "execution_id"}
        assert record["actor_id"] == ACTOR_ID
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["time"])


def test_no_secret_is_in_the_output_at_the_level_debug(actor: Actor, job: Document) -> None:
    token = job["_update_token"]
    secrets = {
        "_REACTOR_PIPELINES_EVENTS_MANAGER_ID": "events-manager-0f-the-tests",
        "_REACTOR_PIPELINES_EVENTS_MANAGER_NONCE": "SD2E_eventsN0nce",
        "_REACTOR_PIPELINES_JOB_INDEXER_ID": "jobs-indexer-0f-the-tests",
        "_REACTOR_PIPELINES_JOB_INDEXER_NONCE": "SD2E_1ndexerN0nce",
        "_REACTOR_PIPELINES_JOB_MANAGER_NONCE": NONCE,
        "_REACTOR_LOGS_TOKEN": "l0gs-token-0f-the-tests",
        "_abaco_access_token": TOKEN,
    }
    never = {*secrets.values(), *ADMIN.values(), token, actor.mongodb["authn"], "wr0ng-token"}
    never |= {actor.mongodb["database"], "SD2E_an0ther"}
    never |= {base64.b64encode(text.encode()).decode() for text in never}
    never |= {text.replace(":", "%3A").replace("/", "%2F") for text in never}
    verbose = {"_REACTOR_LOGS_LEVEL": "DEBUG", "_REACTOR_DEBUG": "true", **secrets, **BY_NONCE}

    with Tenant() as tenant:
        verbose["_abaco_api_server"] = tenant.url
        tenant.plan(*[Answer(500)] * 2)
        runs = [
            actor.run(event(job, "run", data={"token": token, "x": NONCE}), verbose),
            actor.run({**ALOE_POST, "status": "FINISHED"}, {**url(job), **verbose}),
            actor.run(event(job, "index"), verbose),
            actor.run(event(job, "run"), verbose),
            actor.main({**event(job, "run"), "token": "wr0ng-token"}, verbose),
            actor.main({**event(job, "run"), "extra": token}, verbose),
            actor.main(f"token={token}&x-nonce={NONCE}", verbose),
            actor.main(event(job, "update"), {**verbose, "x-nonce": "SD2E_an0ther"}),
            actor.main("", {**verbose, "uuid": NONCE, "name": TOKEN}),
            actor.main({"uuid": actor.mongodb["authn"], "name": "run", "token": token}, verbose),
            actor.main({"uuid": job["uuid"], "action": "delete"}, {**verbose, **url(job)}),
        ]

    assert [run.code for run in runs] == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0]
    assert any("DEBUG" in line for line in runs[0].lines)
    shown = "\n".join(line for run in runs for line in run.lines)
    assert not [secret for secret in never if secret in shown]
    answers = str([run.answer for run in runs])
    assert not [secret for secret in never if secret in answers]
