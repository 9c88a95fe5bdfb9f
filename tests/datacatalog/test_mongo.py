from __future__ import annotations

import base64
import contextlib
import datetime
import socket
import time
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from pymongo.errors import (
    AutoReconnect,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from datacatalog import mongo
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db, Document
from local.database import Server

PASSWORD = "hush-hush"


@pytest.fixture(autouse=True)
def closed_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the clients of these tests apart from those of other tests, and close them."""
    made = []
    make = mongo._client.__wrapped__

    def make_and_note(uri: str, timeout: float) -> pymongo.MongoClient[Document]:
        made.append(make(uri, timeout))
        return made[-1]

    monkeypatch.setattr(mongo, "_client", make_and_note)
    yield
    for client in made:
        client.close()


@contextlib.contextmanager
def silent_server(*, listening: bool) -> Iterator[int]:
    """Give a port on which nobody answers, or nobody listens."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listening:
            silent.listen()
        yield silent.getsockname()[1]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("wrap", [str, encoded, lambda uri: encoded(f"{uri}\n")])
def test_the_uri_is_plain_or_in_base64(wrap: Any, mongodb: dict[str, Any], db: Db) -> None:
    settings = {**mongodb, "authn": wrap(mongodb["authn"])}
    mongo.connect(settings)["things"].insert_one({"tacos": 3})
    assert [thing["tacos"] for thing in db["things"].find({})] == [3]


def test_the_database_is_named_catalog_unless_it_is_set(mongodb: dict[str, Any]) -> None:
    assert mongo.connect({"authn": mongodb["authn"]}).name == "catalog"
    assert mongo.connect({**mongodb, "database": ""}).name == "catalog"
    assert mongo.connect(mongodb).name == mongodb["database"]


def test_a_pymongo_database_is_taken_as_it_is_but_for_safer_writes(db: Db) -> None:
    careless = db.with_options(write_concern=pymongo.WriteConcern(w=0))
    connected = mongo.connect(careless)
    assert connected.name == db.name
    assert connected.client is db.client
    assert connected.write_concern.document == {"w": "majority", "j": True}


def test_times_come_back_in_utc(mongodb: dict[str, Any], job: Document) -> None:
    stored = mongo.connect(mongodb)["jobs"].find_one({})
    assert stored is not None
    assert stored["updated"].utcoffset() == datetime.timedelta(0)


SECRET_URI = f"mongodb://catalog:{PASSWORD}@"
NO_URI = "mongodb.authn is neither a MongoDB URI nor the base64 of one"
NOT_SET = (
    "mongodb.authn is not set: give a MongoDB URI, plain or in base64, in _REACTOR_MONGODB_AUTHN"
)
INVALID = "mongodb.authn is not a valid MongoDB URI"
UNUSABLE = {
    "missing": (None, NOT_SET),
    "empty": ("", NOT_SET),
    "no text": ({"password": PASSWORD}, NOT_SET),
    "another database": (f"postgres://catalog:{PASSWORD}@db.example.org/", NO_URI),
    "another database in base64": (
        encoded(f"postgres://catalog:{PASSWORD}@db.example.org/"),
        NO_URI,
    ),
    "a password": (PASSWORD, NO_URI),
    "base64 of no text": (base64.b64encode(b"\xff\xfe" + PASSWORD.encode()).decode(), NO_URI),
    "a password with an accent": (f"{PASSWORD}é", NO_URI),
    "no host": (SECRET_URI, INVALID),
    "no host in base64": (encoded(SECRET_URI), INVALID),
    "a port that is no number": (f"{SECRET_URI}db.example.org:port/", INVALID),
    "a slash in the password": (f"mongodb://catalog:ab/{PASSWORD}@db.example.org/", INVALID),
    "digits and a slash in the password": (f"mongodb://a:12/ {PASSWORD}@db.example.org/", INVALID),
    "a colon in the password": (f"mongodb://catalog:ab:{PASSWORD}@db.example.org/", INVALID),
    "a percent sign in the password": (f"mongodb://catalog:%zz{PASSWORD}@db.example.org/", INVALID),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_uri_is_an_error_that_does_not_repeat_it(name: str) -> None:
    authn, message = UNUSABLE[name]
    with pytest.raises(ValueError) as refused:
        mongo.connect({"authn": authn})
    assert str(refused.value) == message
    shown = "".join(traceback.format_exception(refused.value))
    assert PASSWORD not in shown
    assert encoded(PASSWORD) not in shown


def test_no_warning_repeats_the_password() -> None:
    # the driver takes what is behind the question mark for options, and warns of unknown ones
    authn = f"mongodb://catalog:12?{PASSWORD}=1@db.example.org/"
    with warnings.catch_warnings(record=True) as caught, contextlib.suppress(ValueError):
        warnings.simplefilter("always")
        mongo.connect({"authn": authn})
    assert PASSWORD not in " ".join(str(warning.message) for warning in caught)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://db.example.org", "db.example.org"),
        ("mongodb://db.example.org:27020/catalog?tls=true", "db.example.org:27020"),
        (f"{SECRET_URI}db.example.org:27020/admin", "db.example.org:27020"),
        (
            f"{SECRET_URI}one.example.org,two.example.org:1/?w=1",
            "one.example.org,two.example.org:1",
        ),
        (f"{SECRET_URI}db.example.org?appname=tacos", "db.example.org"),
        (f"mongodb+srv://catalog:{PASSWORD}@cluster.example.org/", "cluster.example.org"),
        (f"mongodb://catalog:a@b{PASSWORD}@db.example.org/", "db.example.org"),
        (f"{SECRET_URI}db.example.org/?appname=tacos@home", "db.example.org"),
    ],
)
def test_hosts_names_the_servers_without_user_and_password(uri: str, expected: str) -> None:
    assert mongo.hosts({"authn": uri}) == expected
    assert mongo.hosts({"authn": encoded(uri)}) == expected


def test_hosts_names_the_server_of_a_database(server: Server, db: Db) -> None:
    db.command("ping")
    assert mongo.hosts(db) == f"127.0.0.1:{server.port}"


def test_hosts_names_the_server_of_a_database_that_is_away() -> None:
    with silent_server(listening=False) as port:
        away = mongo.connect({"authn": f"mongodb://127.0.0.1:{port}", "timeout": 0.2})
        with pytest.raises(ServerSelectionTimeoutError):
            away.command("ping")
        assert mongo.hosts(away) == f"127.0.0.1:{port}"


@pytest.mark.parametrize("listening", [False, True], ids=["away", "silent"])
def test_a_server_that_does_not_answer_is_an_error_within_the_timeout(
    listening: bool,
) -> None:
    with silent_server(listening=listening) as port:
        uri = f"{SECRET_URI}127.0.0.1:{port}/?directConnection=true"
        jobs = PipelineJobStore({"authn": uri, "timeout": 0.4})
        begin = time.monotonic()
        with pytest.raises(ServerSelectionTimeoutError) as failed:
            jobs.find_one_by_uuid("107a6c4a-f354-53d6-b97d-2c497b9b352e")
        assert 0.2 < time.monotonic() - begin < 15
    assert f"127.0.0.1:{port}" in str(failed.value)
    assert PASSWORD not in "".join(traceback.format_exception(failed.value))


def test_a_timeout_in_the_uri_wins() -> None:
    with silent_server(listening=False) as port:
        uri = f"mongodb://127.0.0.1:{port}/?serverselectiontimeoutms=200&timeoutMS=200"
        away = mongo.connect({"authn": uri, "timeout": 30})
        begin = time.monotonic()
        with pytest.raises(ServerSelectionTimeoutError):
            away["things"].find_one({})
        assert time.monotonic() - begin < 15


def test_a_wrong_password_is_an_error_that_does_not_repeat_it(server: Server) -> None:
    uri = f"{SECRET_URI}127.0.0.1:{server.port}/?directConnection=true"
    with pytest.raises(OperationFailure) as refused:
        mongo.connect({"authn": uri, "timeout": 5})["things"].find_one({})
    assert PASSWORD not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AutoReconnect("connection closed"), "ended the connection"),
        (NotPrimaryError("not primary"), "could not do this (NotPrimaryError)"),
        (OperationFailure("no", code=13), "could not do this (OperationFailure, code 13)"),
    ],
)
def test_what_the_database_did_not_do_is_said_without_a_password(
    error: PyMongoError, said: str
) -> None:
    line = mongo.explain(error, {"authn": "mongodb://ada:s3cret@127.0.0.1:9/"})
    assert line == f"the database at 127.0.0.1:9 {said}: try again later"
