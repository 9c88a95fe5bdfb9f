"""Subscriptions by command, on a gateway that is up: told by its dispatcher."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.abaco.running import RunningGateway
from tests.conftest import ROOT
from tests.manager.receiving import Receiver, until
from tests.pipelinejobs.running import Run


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def lab(here: RunningGateway, bare: Run, receiver: Receiver) -> Iterator[str]:
    """A subscription that was added by command."""
    done = bare("subscriptions", "add", "lab", receiver.url, "--allow-private")
    assert done.code == 0, done.err
    yield "lab"
    assert bare("subscriptions", "rm", "lab").code == 0


def create(bare: Run, number: int) -> str:
    made = bare(
        "jobs", "create", "--pipeline", "tacobot:9000", "--data", f'{{"n": {number}}}', "-o", "json"
    )
    assert made.code == 0, made.err
    return str(made.rows["uuid"])


def test_a_subscriber_is_told_and_counted(
    here: RunningGateway, bare: Run, lab: str, receiver: Receiver
) -> None:
    (row,) = bare("subscriptions", "ls", "-o", "json").rows
    assert (row["name"], row["status"], row["origin"]) == ("lab", "ok", "database")
    until(lambda: bare("subscriptions", "test", "lab").out == "HTTP status 204\n")
    receiver.told.clear()
    job = create(bare, 1)
    until(lambda: receiver.names(job) == ["create"])

    def delivered() -> int:
        (row,) = bare("subscriptions", "ls", "-o", "json").rows
        return int(row["delivered"])

    until(lambda: delivered() >= 1)

    def metrics() -> str:
        return httpx.get(f"{here.url}/metrics", trust_env=False).text

    until(lambda: "pipelinejobs_events_total{event=" in metrics())
    text = metrics()
    for name in ("jobs{", "wait_seconds_bucket{le=", "refused_events_total"):
        assert f"pipelinejobs_{name}" in text
    assert 'pipelinejobs_deliveries_total{subscription="lab"} ' in text
    assert 'pipelinejobs_lag_events{subscription="lab"} 0.0' in text
    assert bare("subscriptions", "dead", "lab").err == "there are no dead letters\n"
    assert bare("subscriptions", "replay", "lab", "-o", "json").rows == {"told": 0, "left": 0}


def test_the_dashboard_asks_for_metrics_that_there_are(here: RunningGateway) -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana.json").read_text())
    text = httpx.get(f"{here.url}/metrics", trust_env=False).text
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    suffixes = {"histogram": ("_bucket", "_count", "_sum")}
    known = {name + end for name, kind in kinds.items() for end in suffixes.get(kind, ("",))}
    panels = dashboard["panels"]
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    asked += " ".join(each["query"]["query"] for each in dashboard["templating"]["list"][1:])
    named = set(re.findall(r"\b(?:abaco|pipelinejobs)_\w+", asked))
    assert len(named) > 8
    assert named <= known
    assert len({panel["id"] for panel in panels}) == len(panels) > 10


def test_a_dispatcher_that_is_killed_is_started_again(
    here: RunningGateway, bare: Run, lab: str, receiver: Receiver
) -> None:
    def dispatchers() -> list[psutil.Process]:
        children = psutil.Process(here.pid).children()
        return [each for each in children if "dispatch" in each.cmdline()]

    (first,) = dispatchers()
    os.kill(first.pid, signal.SIGKILL)
    job = create(bare, 2)
    until(lambda: receiver.names(job) == ["create"])
    (second,) = dispatchers()
    assert second.pid != first.pid


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("add", "Lab", "https://x"), 2, "name must be"),
        (("add", "lab", "x"), 2, "url is not an http or https URL"),
        (("add", "lab", "https://x", "--event", "walk"), 2, "'walk' is not one of"),
        (("rm", "nobody"), 1, "there is no subscription 'nobody'"),
        (("test", "nobody"), 1, "there is no subscription 'nobody'"),
        (("replay", "nobody"), 1, "there is no subscription 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_said(
    cli: Run, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    done = cli("subscriptions", *arguments)
    assert (done.code, problem in done.err) == (code, True)


def test_a_subscription_is_added_once_and_those_of_the_settings_stay(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("subscriptions", "ls").err == "nobody subscribes\n"
    assert cli("subscriptions", "add", "lab", "https://x").code == 0
    again = cli("subscriptions", "add", "lab", "https://x")
    assert (again.code, "there is a subscription 'lab' already" in again.err) == (1, True)
    monkeypatch.setenv(
        "_REACTOR_SUBSCRIPTIONS", '[{"name": "page", "url": "https://u:p@y/?key=1"}]'
    )
    rows = {row["name"]: row for row in cli("subscriptions", "ls", "-o", "json").rows}
    assert (rows["page"]["where"], rows["page"]["origin"]) == ("https://y/?…", "settings")
    removed = cli("subscriptions", "rm", "page")
    assert (removed.code, "page is in the settings" in removed.err) == (1, True)
    assert cli("subscriptions", "add", "page", "https://x").code == 1
