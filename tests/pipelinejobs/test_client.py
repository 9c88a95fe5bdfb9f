"""The client for those who do the work of a job."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import json
import logging
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datacatalog.mongo import Document
from local.database import LocalDatabase, Server
from pipelinejobs import client
from pipelinejobs.client import VARIABLE, Job, Refused, ReportError, Undelivered
from tests.abaco.running import SECONDS, eventually
from tests.pipelinejobs.relay import LOST, UNANSWERED, Relay, answer
from tests.site import Site, running_site


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A database that this module may freeze."""
    local = LocalDatabase(tmp_path_factory.mktemp("database"))
    started = local.start()
    yield started
    os.kill(started.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def site(database: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(database, tmp_path_factory.mktemp("site"), timeout=1) as running:
        yield running


@pytest.fixture
def url(site: Site, work: Document) -> str:
    return site.callback(work)


@pytest.fixture
def relay(site: Site) -> Iterator[Relay]:
    with Relay(site.gateway.url) as running:
        yield running


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again sooner than in earnest."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(client, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(client, "_FIRST_REST", 0.05)


def nowhere(url: str) -> str:
    """Return a callback at which nobody listens."""
    return f"http://127.0.0.1:1/{url.partition('/actors/')[2]}"


def secrets_of(site: Site, work: Document) -> tuple[str, str]:
    return site.nonce, work["_update_token"]


# Events


def test_a_life_is_one_line(site: Site, work: Document, url: str) -> None:
    job = Job.from_callback(url).run().update({"progress": 0.4}).finish({"tacos": 3})

    assert site.events(work) == ["run", "update", "finish"]
    history = site.stored(work)["history"]
    assert [entry["data"] for entry in history[1:]] == [{}, {"progress": 0.4}, {"tacos": 3}]
    assert (job.state, job.uuid) == ("FINISHED", work["uuid"])


def test_each_event_has_a_method(site: Site, work: Document, url: str) -> None:
    Job.from_callback(url).resource({"queue": "long"}).run().send("update").fail({"why": "burnt"})

    assert site.events(work) == ["resource", "run", "update", "fail"]
    assert site.data(work) == {"why": "burnt"}


def test_the_callback_may_be_in_the_environment(
    site: Site, work: Document, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, url)
    Job.from_callback(strict=True).run()

    assert site.events(work) == ["run"]


def test_a_callback_on_this_machine_is_not_sent_to_a_proxy(
    site: Site, work: Document, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    Job.from_callback(url, strict=True, patience=0).run()

    assert site.events(work) == ["run"]


def test_work_that_begins_does_not_wait_for_the_report(
    site: Site, work: Document, url: str, relay: Relay
) -> None:
    relay.plan(*[LOST] * 3)
    with Job.from_callback(relay.of(url)).begin({"host": "login1"}) as job:
        job.update()
    job.finish()

    assert site.events(work) == ["run", "update", "finish"]


def test_a_key_named_message_is_data_like_any_other(site: Site, work: Document, url: str) -> None:
    """In a body by itself, the platform would take it for the whole message."""
    data = {"message": "it is hot", "uuid": "x", "name": "y", "token": "z"}
    Job.from_callback(url, strict=True).run(data)

    assert site.data(work) == data


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (
            {"at": datetime.date(2026, 11, 23), "path": Path("/x")},
            {"at": "2026-11-23", "path": "/x"},
        ),
        ({"loss": float("nan"), "step": 3}, {"loss": "NaN", "step": 3}),
        ({"hash": 2**63, "rest": -(2**63)}, {"hash": str(2**63), "rest": -(2**63)}),
        ({"file": "salsa-\udce9.txt", "of": "🌮"}, {"file": "salsa-\\udce9.txt", "of": "🌮"}),
        ({(1, 2): 3}, {"note": "the data could not be written as JSON"}),
        ([1], {"note": "the data could not be written as JSON"}),
    ],
)
def test_no_event_is_lost_for_its_data(
    site: Site, work: Document, url: str, data: Any, kept: Any
) -> None:
    Job.from_callback(url).run(data)

    assert site.data(work) == kept


def test_threads_may_share_a_job(site: Site, work: Document, url: str) -> None:
    job = Job.from_callback(url, strict=True).run()
    threads = [threading.Thread(target=job.update, args=({"n": n},)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert site.events(work) == ["run", *["update"] * 8]


# As a context


class Burnt(Exception):
    """What the work may end with."""


def test_a_block_is_reported_with_its_begin_and_end(site: Site, work: Document, url: str) -> None:
    with Job.from_callback(url) as job:
        assert site.events(work) == ["run"]
        job.update()

    assert site.events(work) == ["run", "update", "finish"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("too hot"), "ValueError: too hot"),
        (Burnt("black"), f"{__name__}.Burnt: black"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_a_block_that_raises_fails_with_the_last_line_and_the_error_goes_on(
    site: Site, work: Document, url: str, error: BaseException, line: str
) -> None:
    with pytest.raises(type(error)) as raised, Job.from_callback(url):
        raise error

    assert raised.value is error
    assert site.events(work) == ["run", "fail"]
    assert site.data(work) == {"error": line}


def test_a_block_that_exits_with_success_has_finished(site: Site, work: Document, url: str) -> None:
    with pytest.raises(SystemExit), Job.from_callback(url):
        sys.exit()

    assert site.events(work) == ["run", "finish"]


@pytest.mark.parametrize("end", ["finish", "fail"])
def test_what_was_reported_is_not_reported_again(
    site: Site, work: Document, url: str, end: str
) -> None:
    with Job.from_callback(url).run({"host": "login1"}) as job:
        job.send(end)

    assert site.events(work) == ["run", end]


def test_the_error_of_the_block_is_not_replaced_by_that_of_the_report(
    url: str, relay: Relay
) -> None:
    def burn() -> None:
        with Job.from_callback(relay.of(url), strict=True, patience=0.1):
            relay.plan(*[LOST] * 20)
            raise Burnt

    with pytest.raises(Burnt):
        burn()


# Again, and once


@pytest.mark.parametrize(
    "fault",
    [
        LOST,
        UNANSWERED,
        answer(502, is_passed_on=True),
        answer(500),
        answer(504, b"<html>"),
        answer(200, b"the log of something", is_passed_on=True),
        answer(200, b"[]", is_passed_on=True),
        answer(200, b'{"error": "away", "kind": "unavailable"}'),
        answer(200, b'{"error": "others were faster", "kind": "conflict"}'),
        answer(200, b"{}", Transfer_Encoding="nonsense"),
    ],
    ids=range(10),
)
def test_what_was_not_answered_is_sent_again_and_counts_once(
    site: Site, work: Document, url: str, relay: Relay, fault: Any
) -> None:
    job = Job.from_callback(relay.of(url), strict=True)
    for send in (job.run, job.update, job.update, job.finish):
        relay.plan(fault)
        send()

    assert site.events(work) == ["run", "update", "update", "finish"]
    assert len(relay.posts) == 8


def date(seconds: float) -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    return email.utils.format_datetime(now + datetime.timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("status", "when"),
    [(429, lambda: "1"), (503, lambda: date(2.5))],
    ids=["seconds", "date"],
)
def test_it_waits_as_long_as_it_is_told(
    site: Site, work: Document, url: str, relay: Relay, status: int, when: Callable[[], str]
) -> None:
    relay.plan(answer(status, Retry_After=when()))
    began = time.monotonic()
    Job.from_callback(relay.of(url), strict=True).run()

    assert 0.9 < time.monotonic() - began < SECONDS
    assert site.events(work) == ["run"]


BEYOND = "Mon, 01 Jan 2024 99999999999999999999:00:00 GMT"
"""A date that no calendar has."""


@pytest.mark.parametrize("when", ["soon", "", "-1", "\xb2", "Mon, 99 Foo", BEYOND])
def test_a_time_that_means_nothing_is_not_waited_for(
    site: Site, work: Document, url: str, relay: Relay, when: str
) -> None:
    relay.plan(answer(503, Retry_After=when))
    Job.from_callback(relay.of(url), strict=True, patience=5).run()

    assert site.events(work) == ["run"]


def test_a_patience_that_is_not_a_number_is_none(url: str) -> None:
    with pytest.raises(Undelivered):
        Job.from_callback(nowhere(url), strict=True, patience=math.nan).run()


@pytest.mark.parametrize("seconds", ["3600", "9" * 30])
def test_a_wait_beyond_all_patience_is_not_begun(url: str, relay: Relay, seconds: str) -> None:
    relay.plan(answer(503, b'{"message": "The database is away."}', Retry_After=seconds))
    began = time.monotonic()
    with pytest.raises(Undelivered, match="HTTP status 503: The database is away"):
        Job.from_callback(relay.of(url), strict=True).run()

    assert time.monotonic() - began < SECONDS


@pytest.mark.long
def test_a_gateway_that_is_killed_in_between_loses_and_doubles_nothing(
    site: Site, work: Document, url: str
) -> None:
    job = Job.from_callback(url).run()
    sent = 30

    def report() -> None:
        for number in range(sent):
            job.update({"number": number})

    thread = threading.Thread(target=report)
    thread.start()
    for _ in range(2):
        site.gateway.kill()
        site.gateway.start()
    thread.join(SECONDS)
    job.finish()

    assert not thread.is_alive()
    updates = [entry["data"] for entry in site.stored(work)["history"][2:-1]]
    assert updates == [{"number": number} for number in range(sent)]
    assert site.events(work)[-1] == "finish"


def test_an_event_while_the_database_is_frozen_is_applied_once_when_it_is_back(
    site: Site, work: Document, url: str, database: Server, relay: Relay
) -> None:
    job = Job.from_callback(relay.of(url), strict=True).run()

    def thaw() -> None:
        # the manager gives up after a second, the gateway answers 503, and the update comes again
        with contextlib.suppress(AssertionError):
            eventually(lambda: len(relay.posts) > 2)
        os.kill(database.pid, signal.SIGCONT)

    thread = threading.Thread(target=thaw)
    os.kill(database.pid, signal.SIGSTOP)
    thread.start()
    try:
        job.update({"while": "frozen"})
    finally:
        thread.join()
    assert len(relay.posts) > 2, site.gateway.log.read_text()
    job.finish()

    assert site.events(work) == ["run", "update", "finish"]


def test_an_event_of_several_processes_counts_once_by_its_id(
    site: Site, work: Document, url: str
) -> None:
    for _ in range(3):
        Job.from_callback(url, strict=True).run({"host": "login1"}, event_id="start")

    assert site.events(work) == ["run"]
    with pytest.raises(Refused, match=r"run event refused: .*another event"):
        Job.from_callback(url, strict=True).run({"host": "login2"}, event_id="start")


# Nobody is there


def test_the_work_goes_on_and_what_waits_is_reported_in_order_later(
    site: Site, work: Document, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert site.gateway.stop() == 0
    job = Job.from_callback(url, patience=0.2)
    try:
        job.run()
        began = time.monotonic()
        for number in range(100):
            job.update({"number": number})
        assert time.monotonic() - began < 100 * 0.2 / 2
    finally:
        site.gateway.start()
    place = site.gateway.url.removeprefix("http://")
    reason = f"no answer from {place} (Connection refused)"
    assert caplog.messages[0] == f"run event: not reported: {reason}"
    Job.finish(job)

    assert site.events(work) == ["run", *["update"] * 100, "finish"]
    updates = [entry["data"] for entry in site.stored(work)["history"][2:-1]]
    assert updates == [{"number": number} for number in range(100)]


def test_memory_is_bounded_and_begin_and_end_are_kept(
    site: Site, work: Document, url: str, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_MAX_WAITING", 5)
    relay.plan(*[LOST] * 21)
    job = Job.from_callback(relay.of(url), patience=0)
    job.run()
    for _ in range(20):
        job.update()
    relay.faults.clear()
    job.finish()

    assert site.events(work) == ["run", "update", "update", "update", "finish"]


def test_a_block_ends_as_it_would_without_a_manager(url: str) -> None:
    done = []
    with Job.from_callback(nowhere(url), patience=0.1):
        done.append("all")
    with pytest.raises(Burnt), Job.from_callback(nowhere(url), patience=0.1):
        raise Burnt
    assert done == ["all"]


def test_a_strict_job_says_that_nobody_is_there(url: str) -> None:
    job = Job.from_callback(nowhere(url), strict=True, patience=0.1)
    reason = "no answer from 127.0.0.1:1 (Connection refused)"
    with pytest.raises(Undelivered, match=f"^run event: not reported: {re.escape(reason)}$"):
        job.run()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "tacos",
        "ftp://host/x?uuid=1",
        "http://host/x",
        "http://h:x/?uuid=1",
        "http://h/ ?uuid=1",
    ],
)
def test_without_a_usable_callback_nothing_is_reported(
    given: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Job.from_callback(given) as job:
        job.update({"progress": 1})
    assert (repr(job), job.uuid, job.state) == ("<Job of nobody>", "", "")
    assert [message.split(":")[0] for message in caplog.messages] == ["nothing will be reported"]
    with pytest.raises(ReportError, match="callback"):
        Job.from_callback(given, strict=True)


# What is refused


def test_a_refusal_is_told_and_not_tried_again(
    site: Site, work: Document, url: str, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    text = "finish event refused: not allowed in state CREATED"
    with pytest.raises(Refused, match=text):
        Job.from_callback(relay.of(url), strict=True).finish()
    job = Job.from_callback(relay.of(url)).finish().run()

    assert len(relay.posts) == 3
    assert caplog.messages[0].startswith(text)
    assert (site.events(work), job.state) == (["run"], "RUNNING")


@pytest.mark.parametrize("status", [400, 401, 404, 413])
def test_what_the_gateway_does_not_take_is_refused(url: str, relay: Relay, status: int) -> None:
    relay.plan(answer(status, b'{"message": "No."}'))
    with pytest.raises(Refused, match=rf"^run event refused: HTTP status {status}: No\.$"):
        Job.from_callback(relay.of(url), strict=True).run()
    assert len(relay.posts) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(site: Site, url: str, relay: Relay, status: int) -> None:
    relay.plan(answer(status, Location=relay.of(url)))
    with pytest.raises(Refused, match=f"HTTP status {status}"):
        Job.from_callback(relay.of(url), strict=True).run()
    assert len(relay.posts) == 1


# Secrets


def test_no_secret_is_shown(
    site: Site, work: Document, url: str, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = json.dumps({"message": url, "error": url, "kind": "not_allowed"}).encode()
    shown = []
    for given, faults in (
        (nowhere(url), ()),
        (url.replace("http://", "https://"), ()),
        (url.replace("/actors", "/act ors"), ()),
        (relay.of(url), (answer(400, echo),)),
        (relay.of(url), (answer(200, echo),)),
        (relay.of(url), (answer(503, echo, Retry_After="99"),)),
        (relay.of(url), (answer(302, Location=url),)),
        (url.replace("uuid", "id"), ()),
    ):
        for strict in (True, False):
            relay.plan(*faults)
            try:
                job = Job.from_callback(given, strict=strict, patience=0.1)
                shown.append(repr(job))
                job.run()
            except ReportError as error:
                shown += [str(error), repr(error), repr(error.__cause__)]
    everything = "\n".join([*shown, *caplog.messages])
    assert "***" in everything
    assert work["uuid"] in everything
    for secret in secrets_of(site, work):
        assert secret not in everything


def test_what_is_reported_is_without_the_secrets_of_the_callback(
    site: Site, work: Document, url: str, relay: Relay
) -> None:
    Job.from_callback(relay.of(url)).run().update({"environment": {VARIABLE: url}})
    with pytest.raises(Burnt), Job.from_callback(relay.of(url)).run():
        raise Burnt(url)

    assert site.events(work) == ["run", "update", "run", "fail"]
    for secret in secrets_of(site, work):
        assert secret not in json.dumps(site.stored(work)["history"], default=str)
    # the URL is what logs of servers on the way have
    assert not [post for post in relay.posts if work["_update_token"] in post.path]
