"""Subscriptions by command, on a gateway that is up: told by its dispatcher."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from bson import ObjectId

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.subscriptions import Subscriptions
from datacatalog.mongo import Db, Document
from tests.abaco.running import RunningGateway
from tests.conftest import ROOT
from tests.manager.receiving import Receiver, until
from tests.pipelinejobs.running import Run

ALERTS = ROOT / "deploy" / "alerts.yml"


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
    assert bare("subscriptions", "replay", "lab", "-o", "json").rows == {
        "told": 0,
        "dropped": 0,
        "left": 0,
    }


def test_a_dead_letter_whose_event_is_nowhere_any_more_is_dropped(
    cli: Run, job: Document, db: Db
) -> None:
    assert cli("subscriptions", "add", "lab", "https://x").code == 0
    about = {"job_id": ObjectId(), "job_uuid": job["uuid"], "number": 0, "event": "run"}
    letter = {"subscriber": "lab", **about, "date": now(), "reason": "HTTP status 500", "tries": 1}
    Subscriptions(db).bury(letter)
    done = cli("subscriptions", "replay", "lab", "-o", "json")
    assert (done.code, done.rows) == (0, {"told": 0, "dropped": 1, "left": 0})
    assert cli("subscriptions", "dead", "lab", "-o", "json").rows == []


def test_damaged_ones_are_listed_with_the_others(cli: Run, job: Document, db: Db) -> None:
    assert cli("subscriptions", "add", "lab", "https://x").code == 0
    damaged: list[Document] = [
        {"_id": "evil", "definition": [1]},
        {"_id": "odd", "definition": {"url": 5, "events": 7}, "since": "x"},
        {"_id": "worse", "definition": {"url": "http://["}},
    ]
    db["subscriptions"].insert_many(damaged)
    listed = cli("subscriptions", "ls", "-o", "json")
    assert [row["name"] for row in listed.rows] == ["evil", "lab", "odd", "worse"]
    assert "unexpected" not in cli("doctor").err
    assert cli("stats").code == 0


def known(here: RunningGateway) -> set[str]:
    """Return the names that the gateway's metrics have."""
    text = httpx.get(f"{here.url}/metrics", trust_env=False).text
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    suffixes = {"histogram": ("_bucket", "_count", "_sum")}
    return {name + end for name, kind in kinds.items() for end in suffixes.get(kind, ("",))}


def named(expressions: str) -> set[str]:
    """Return the names of metrics in expressions of Prometheus."""
    return set(re.findall(r"\b(?:abaco|pipelinejobs)_\w+", expressions))


def test_the_dashboard_asks_for_metrics_that_there_are(here: RunningGateway) -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana.json").read_text())
    panels = dashboard["panels"]
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    asked += " ".join(each["query"]["query"] for each in dashboard["templating"]["list"][1:])
    assert len(named(asked)) > 8
    assert named(asked) <= known(here)
    assert len({panel["id"] for panel in panels}) == len(panels) > 10


def test_the_alerts_ask_for_metrics_that_there_are_and_are_documented(here: RunningGateway) -> None:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    asked = " ".join(rule["expr"] for rule in group["rules"])
    assert len(named(asked)) > 8
    assert named(asked) <= known(here)
    page = (ROOT / "docs" / "operating.md").read_text()
    documented = re.findall(r"^\| `(PipelineJobs\w+)` \|", page, re.MULTILINE)
    assert documented == [rule["alert"] for rule in group["rules"]]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not found: prometheus")
def test_an_alert_is_raised_by_what_it_is_about_and_by_nothing_else(tmp_path: Path) -> None:
    quiet = {
        "abaco_ready": "1x60",
        'abaco_actors{status="READY"}': "1x60",
        "abaco_messages_postponed": "0x60",
        'abaco_executions{status="SUBMITTED"}': "999x60",
        'pipelinejobs_lag_seconds{subscription="lab"}': "899x60",
        'pipelinejobs_dead_letters{subscription="lab"}': "0x60",
        'pipelinejobs_subscription_ended{subscription="lab"}': "0x60",
    }
    ended = "PipelineJobsSubscriptionEnded"
    loud = {
        "abaco_ready": ("0x60", "PipelineJobsNotReady"),
        'abaco_actors{status="ERROR"}': ("1x60", "PipelineJobsActorFailed"),
        "abaco_messages_postponed": ("1x60", "PipelineJobsMessagesPostponed"),
        'abaco_executions{status="SUBMITTED"}': ("1001x60", "PipelineJobsMessagesWait"),
        "abaco_throttled_messages_total": ("0+60x60", "PipelineJobsSendersRefused"),
        'pipelinejobs_refused_events_total{event="run"}': ("0+10x60", "PipelineJobsEventsRefused"),
        'pipelinejobs_lag_seconds{subscription="lab"}': ("901x60", "PipelineJobsSubscriberBehind"),
        'pipelinejobs_dead_letters{subscription="lab"}': ("1x60", "PipelineJobsDeadLetters"),
        'pipelinejobs_subscription_ended{subscription="lab"}': ("1x60", ended),
    }

    def case(series: dict[str, str], raised: str) -> dict[str, Any]:
        firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
        labels = f'{{alertname="{raised}"}}'
        return {
            "interval": "1m",
            "input_series": [{"series": name, "values": each} for name, each in series.items()],
            "promql_expr_test": [
                {
                    "expr": firing,
                    "eval_time": "50m",
                    "exp_samples": [{"labels": labels, "value": 1}] if raised else [],
                }
            ],
        }

    cases = [case(quiet, "")]
    cases += [case({**quiet, name: values}, raised) for name, (values, raised) in loud.items()]
    missing = {name: values for name, values in quiet.items() if name != "abaco_ready"}
    cases += [case(missing, "PipelineJobsGone")]
    file = tmp_path / "cases.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "tests": cases}))
    done = subprocess.run(
        [shutil.which("promtool") or "promtool", "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_dispatcher_that_is_killed_is_started_again(
    here: RunningGateway, bare: Run, lab: str, receiver: Receiver
) -> None:
    def dispatchers() -> list[psutil.Process]:
        children = psutil.Process(here.pid).children()
        return [each for each in children if "pipelinejobs.dispatcher" in each.cmdline()]

    (first,) = dispatchers()
    os.kill(first.pid, signal.SIGKILL)
    job = create(bare, 2)
    until(lambda: receiver.names(job) == ["create"])
    (second,) = dispatchers()
    assert second.pid != first.pid


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("add", "Lab", "https://x"), 2, "name is 'Lab': use"),
        (("add", "lab", "x"), 2, "url is not an http or https URL"),
        (("add", "lab", "https://x", "--event", "walk"), 2, "'walk' is not one of"),
        (
            ("add", "lab", "http://127.0.0.1:1"),
            2,
            "127.0.0.1 is a private address: add it with --allow",
        ),
        (
            ("add", "lab", "http://[::1]:1/x"),
            2,
            "::1 is a private address: add it with --allow-private",
        ),
        (("rm", "nobody"), 1, "there is no subscription 'nobody'"),
        (("test", "nobody"), 1, "there is no subscription 'nobody'"),
        (("replay", "nobody"), 1, "there is no subscription 'nobody'"),
        (("dead", "nobody"), 1, "there is no subscription 'nobody'"),
        (("add", "lab", "https://x", "--pipeline", "no"), 1, "no pipeline has the uuid or id 'no'"),
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


def test_it_is_shown_what_a_subscriber_is_told_of(
    cli: Run, pipeline: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = pipeline["uuid"]
    only = ["--event", "fail", "--event", "finish", "--state", "FAILED", "--pipeline", uuid[:12]]
    assert cli("subscriptions", "add", "lab", "https://x", *only).code == 0
    monkeypatch.setenv(
        "_REACTOR_SUBSCRIPTIONS", '[{"name": "page", "url": "https://y", "events": ["run"]}]'
    )
    assert cli("subscriptions", "add", "all", "https://x").code == 0
    rows = {row["name"]: row["only"] for row in cli("subscriptions", "ls", "-o", "json").rows}
    told = f"events fail, finish; states FAILED; pipelines {uuid}"
    assert rows == {"lab": told, "page": "events run", "all": None}
    assert cli("subscriptions", "dead", "lab").err == "there are no dead letters\n"


def test_a_subscription_that_has_ended_is_added_again(cli: Run, db: Db) -> None:
    assert cli("subscriptions", "add", "lab", "https://x").code == 0
    Subscriptions(db).end("lab", "it answered that it is gone")
    for name in ("test", "replay"):
        done = cli("subscriptions", name, "lab")
        assert done.code == 1
        assert "lab has ended: it answered that it is gone; remove it, and add it" in done.err
    assert cli("subscriptions", "rm", "lab").code == 0
    assert cli("subscriptions", "add", "lab", "https://x").code == 0
