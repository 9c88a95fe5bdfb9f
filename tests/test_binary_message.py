"""Messages that are posted as `application/octet-stream`, to the actor as a process."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datacatalog.mongo import Document
from tests.actor import Actor, Run, event, url

MIB = 1024 * 1024
WITHIN = 30.0


@pytest.fixture
def actor(mongodb: dict[str, Any], tmp_path: Path) -> Iterator[Actor]:
    actor = Actor(mongodb, tmp_path)
    yield actor
    actor.close()


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "binary"
    os.mkfifo(path)
    return path


def post(actor: Actor, fifo: Path, content: bytes, parameters: dict[str, str] | None = None) -> Run:
    """Run the actor for a message that a thread writes into its FIFO."""

    def write() -> None:
        # an actor that refuses a message does not read the rest of it
        with contextlib.suppress(BrokenPipeError):
            fifo.write_bytes(content)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    run = actor.run(
        parameters={
            "_abaco_Content_Type": "application/octet-stream",
            "_abaco_binary_fifo": str(fifo),
            **(parameters or {}),
        },
        without=("MSG",),
    )
    writer.join(WITHIN)
    assert not writer.is_alive()
    return run


def test_an_event_moves_the_job(actor: Actor, job: Document, fifo: Path) -> None:
    run = post(actor, fifo, json.dumps(event(job, "run")).encode())

    assert (run.code, run.message) == (
        0,
        f"INFO job {job['uuid']}: run event, state RUNNING, revision 1",
    )
    assert actor.job(job["uuid"])["state"] == "RUNNING"


def test_as_much_data_as_is_kept_gets_through(actor: Actor, job: Document, fifo: Path) -> None:
    data = {"salsa": "x" * (MIB - len('{"salsa":""}'))}

    run = post(actor, fifo, json.dumps(event(job, "run", data=data)).encode())

    assert (run.code, len(run.lines)) == (0, 1)
    found = actor.job(job["uuid"])
    assert found["state"] == "RUNNING"
    assert found["history"][1]["data"] == data


def test_more_data_than_is_kept_is_refused(actor: Actor, job: Document, fifo: Path) -> None:
    run = post(actor, fifo, json.dumps(event(job, "run", data={"salsa": "x" * MIB})).encode())

    assert (run.code, len(run.lines)) == (1, 1)
    assert "'data' has 1,048,588 bytes, at most 1,048,576 are kept" in run.message
    assert actor.job(job["uuid"])["state"] == "CREATED"


def test_the_event_may_be_in_the_url(actor: Actor, job: Document, fifo: Path) -> None:
    run = post(actor, fifo, b'{"salsa": "verde"}', url(job, status="RUNNING"))

    assert run.code == 0
    found = actor.job(job["uuid"])
    assert (found["state"], found["history"][1]["data"]) == ("RUNNING", {"salsa": "verde"})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"PK\x03\x04\xff", "the binary message is not UTF-8 (byte 4 is 0xff)"),
        (b"x" * (8 * MIB + 1), "the binary message is larger than 8,388,608 bytes"),
        (b"", "the message is empty"),
    ],
    ids=["no text", "too large", "empty"],
)
def test_what_is_no_message_is_refused_with_one_line(
    actor: Actor, job: Document, fifo: Path, content: bytes, text: str
) -> None:
    run = post(actor, fifo, content, url(job) if content else {})

    assert (run.code, len(run.lines)) == (1, 1)
    assert text in run.message
    assert run.answer is not None
    assert (run.answer["kind"], text in run.answer["error"]) == ("invalid_message", True)
    assert actor.job(job["uuid"])["state"] == "CREATED"
