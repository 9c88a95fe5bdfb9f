"""Jobs are moved by the HTTP of a gateway that is up, as `make up` has it."""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.abaco.running import RunningGateway, eventually, shell
from tests.conftest import ROOT
from tests.pipelinejobs.running import Run, execute, told


@pytest.fixture
def job(here: RunningGateway, bare: Run) -> str:
    """The UUID of a job that is made for the test."""
    data = json.dumps({"test": secrets.token_hex(8)})
    made = bare("jobs", "create", "--pipeline", "tacobot:9000", "--data", data, "-o", "json")
    assert made.code == 0, made.err
    assert made.rows["callback"].startswith("http")
    return str(made.rows["uuid"])


def test_after_make_up_the_other_terminal_just_works(here: RunningGateway) -> None:
    made = told(here, "job")
    for arguments, printed in ((("jobs", "ls"), "CREATED"), (("jobs", "show", made), made)):
        done = execute(*arguments, folder=here.folder)
        assert done.code == 0
        assert printed in done.out


def test_what_create_prints_is_enough_to_report_and_has_each_secret_once(
    here: RunningGateway, bare: Run
) -> None:
    arguments = ("jobs", "create", "--pipeline", "tacobot:9000", "--data", '{"printed": 1}')
    made = bare(*arguments)
    assert made.code == 0, made.err
    uuid = made.out.split()[1]
    token = bare("token", "job", uuid).out.strip()
    callback = made.out.split("callback")[1].strip()
    for secret in (token, told(here, "nonce")):
        assert (made.out + made.err).count(secret) == callback.count(secret) == 1
    assert bare("token", "job", uuid, "--callback").out.strip() == callback
    assert "exists already" not in made.err
    (command,) = re.findall(r"^to report on it: (curl .*)$", made.err, re.MULTILINE)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell(f"cd {here.folder}; {command}", PATH=path, PYTHONPATH=str(ROOT))
    eventually(lambda: bare("jobs", "show", uuid, "-o", "json").rows["state"] == "RUNNING")

    again = bare(*arguments, "-o", "json")
    assert (again.rows["uuid"], again.rows["callback"]) == (uuid, callback)
    assert again.err == "it exists already: nothing was changed\n"


def test_an_event_moves_the_job_with_the_access_token(job: str, bare: Run) -> None:
    sent = bare("jobs", "send", "run", job, "--data", '{"step": 1}', "-o", "json")
    assert (sent.code, sent.rows["state"]) == (0, "RUNNING")
    assert bare("jobs", "show", job, "-o", "json").rows["last_event"] == "run"
    again = [
        bare("jobs", "send", "update", job, "--event-id", "7", "-o", "json").rows for _ in range(2)
    ]
    assert again[0] == again[1]
    history = bare("jobs", "history", job, "-o", "json").rows
    assert [entry["name"] for entry in history] == ["create", "run", "update"]


def test_answers_end_with_a_line_end_so_that_a_prompt_follows_on_its_own_line(
    job: str, here: RunningGateway, bare: Run
) -> None:
    callback = bare("token", "job", job, "--callback").out.strip()
    for name in ("run", "ready"):
        answer = httpx.post(
            callback, params={"_abaco_synchronous": "true"}, json={"name": name}, trust_env=False
        )
        assert answer.content.endswith(b"}\n"), name
    for path in ("/actors/v2/nobody", "/actors/v2"):
        assert httpx.get(f"{here.url}{path}", trust_env=False).content.endswith(b"}\n"), path


def test_an_event_moves_the_job_with_a_nonce(
    job: str, here: RunningGateway, bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonce = told(here, "nonce")
    sent = bare("jobs", "send", "run", job, "--nonce", nonce, "-o", "json")
    assert sent.rows["state"] == "RUNNING"
    monkeypatch.setenv("_abaco_api_server", here.url)
    monkeypatch.setenv("_abaco_access_token", "")
    without = bare("jobs", "send", "update", job)
    assert (without.code, "--nonce NONCE" in without.err) == (2, True)
    # nobody tells which actor the alias stands for
    unknown = bare("jobs", "send", "update", job, "--nonce", nonce)
    assert (unknown.code, "_REACTOR_PIPELINES_JOB_MANAGER_ID" in unknown.err) == (1, True)
    monkeypatch.setenv("_REACTOR_PIPELINES_JOB_MANAGER_ID", told(here, "actor"))
    sent = bare("jobs", "send", "update", job, "--nonce", nonce, "-o", "json")
    assert sent.rows["last_event"] == "update"
    wrong = bare("jobs", "send", "update", job, "--nonce", "SD2E_wrongNonce12")
    assert wrong.code == 1
    assert "SD2E_wrongNonce12" not in wrong.err


def test_without_waiting_the_execution_is_told(job: str, bare: Run) -> None:
    sent = bare("jobs", "send", "run", job, "--no-wait", "-o", "json")
    assert list(sent.rows) == ["execution"]
    eventually(lambda: bare("jobs", "show", job, "-o", "json").rows["state"] == "RUNNING")


def test_the_logs_of_what_brought_the_events_are_printed_in_their_order(
    job: str, bare: Run
) -> None:
    for event in ("run", "update"):
        assert bare("jobs", "send", event, job).code == 0
    bare("jobs", "send", "finish", job, "--direct")
    printed = bare("jobs", "logs", job)
    assert printed.code == 0, printed.err
    heads = [line.split()[2] for line in printed.out.splitlines() if line.startswith("== ")]
    assert heads == ["create", "run", "update"]
    assert "created, state CREATED" in printed.out
    assert printed.out.index("state RUNNING, revision 1") < printed.out.index("revision 2")
    assert "without a log, since no execution brought them: 1 (finish)" in printed.err
    assert "try" not in printed.err


def test_where_no_log_is_it_is_said_why_and_how_there_will_be_one(
    here: RunningGateway, bare: Run
) -> None:
    create = ("jobs", "create", "--direct", "--pipeline", "tacobot:9000", "-o", "json")
    uuid = bare(*create, "--data", '{"direct": 1}').rows["uuid"]
    printed = bare("jobs", "logs", uuid)
    assert (printed.code, printed.out) == (0, "")
    assert "`make up` made them, or they were written straight to the database" in printed.err
    (remedy,) = re.findall(r"try `pipelinejobs (jobs send update .*)`", printed.err)
    assert bare(*remedy.split()).code == 0
    assert "  update  execution" in bare("jobs", "logs", uuid).out


def test_the_page_of_a_job_is_opened_by_an_address_that_signs_in(job: str, bare: Run) -> None:
    opened = bare("jobs", "open", job)
    assert opened.code == 0, opened.err
    with httpx.Client(follow_redirects=True, trust_env=False) as client:
        page = client.get(opened.out.strip())
    assert (page.status_code, page.url.path) == (200, f"/jobs/{job}")
    assert job in page.text


def test_a_refusal_is_told_in_one_line(job: str, bare: Run) -> None:
    done = bare("jobs", "send", "finish", job)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("ERROR finish event: not allowed in state CREATED")
    wrong = bare("jobs", "send", "run", job, "--token", "0123456789abcdef")
    assert wrong.code == 1
    assert "that this token may change" in wrong.err


def test_a_reset_takes_the_administrative_token_of_make_up(job: str, bare: Run) -> None:
    for event, state in (("reset", "RESET"), ("ready", "CREATED")):
        assert bare("jobs", "send", event, job, "-o", "json").rows["state"] == state


def test_a_job_is_deleted_by_http(job: str, bare: Run) -> None:
    assert bare("jobs", "delete", job, "-o", "json").rows["deleted"] == "hidden"
    assert bare("jobs", "undelete", job).code == 0
    gone = bare("jobs", "delete", job, "--force", "--yes", "-o", "json")
    assert gone.rows["deleted"] == "removed"
    assert bare("jobs", "show", job).code == 1


def test_a_gateway_that_is_away_and_a_token_of_another_are_told(
    job: str, here: RunningGateway, bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_abaco_api_server", here.url)
    monkeypatch.setenv("_abaco_access_token", "of-another-tenant")
    refused = bare("jobs", "send", "run", job)
    assert refused.code == 1
    assert "does not accept the access token" in refused.err
    monkeypatch.setenv("_abaco_api_server", "http://127.0.0.1:9")
    away = bare("jobs", "send", "run", job)
    assert away.code == 3
    assert "http://127.0.0.1:9 does not answer (Connection refused)" in away.err
    assert "of-another-tenant" not in refused.err + away.err


def test_an_actor_that_is_not_there_is_told_with_the_setting(
    job: str, bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_REACTOR_PIPELINES_JOB_MANAGER_ID", "nobody")
    done = bare("jobs", "send", "run", job)
    assert done.code == 1
    assert "_REACTOR_PIPELINES_JOB_MANAGER_ID" in done.err


def test_the_cache_of_another_client_is_found(
    job: str, here: RunningGateway, bare: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "current").write_text(json.dumps({"baseurl": "http://127.0.0.1:9"}))
    monkeypatch.setenv("AGAVE_CACHE_DIR", str(cache))
    done = bare("jobs", "send", "run", job, "--nonce", "SD2E_abc")
    assert (done.code, "http://127.0.0.1:9 does not answer" in done.err) == (3, True)
    text = (here.folder / ".local/abaco/agave/current").read_text()
    (cache / "current").write_text(text)
    assert bare("jobs", "send", "run", job).code == 0


def test_no_secret_is_printed_by_a_listing(job: str, here: RunningGateway, bare: Run) -> None:
    commands = (["jobs", "ls"], ["jobs", "show", job], ["jobs", "history", job], ["doctor"])
    printed = "".join(bare(*command, "-o", "json").out for command in commands)
    hidden = [told(here, "token"), told(here, "nonce"), bare("token", "job", job).out.strip()]
    hidden += [file.read_text().strip() for file in Path(".local/abaco").glob("catalog_admin_*")]
    assert len(hidden) == 5
    assert all(secret not in printed for secret in hidden)
    assert not re.search(r"mongodb://[^ ]*@", printed)


# Senders as they are, by HTTP


def report(
    bare: Run, job: str, body: str | bytes, kind: str | None = None, **parameters: str
) -> httpx.Response:
    """POST to the callback of a job, and wait for the answer."""
    callback = bare("token", "job", job, "--callback").out.strip()
    headers = {} if kind is None else {"Content-Type": kind}
    query = httpx.QueryParams(_abaco_synchronous="true", **parameters)
    return httpx.post(f"{callback}&{query}", content=body, headers=headers, timeout=30)


JSON = "application/json"
REPORTS: list[tuple[str | bytes, str | None, dict[str, str], str, dict[str, Any]]] = [
    ("", JSON, {"event": "run"}, "run", {"note": "The message had no payload"}),
    ("null", JSON, {"status": "RUNNING"}, "run", {"note": "The message had no payload"}),
    ('{"progress": 0.4, "message": "half"}', JSON, {"event": "update"}, "update", {"progress": 0.4}),
    ('{"appId": "x", "status": "FAILED", "message": "FAILED"}', JSON, {}, "fail", {"appId": "x"}),
    ('{"appId": "x", "tenantId": null, "status": "PENDING"}', JSON, {}, "resource", {}),
    ('"1.10"', JSON, {"event": "update"}, "update", {"value": "1.10"}),
    ("None", "text/plain", {"event": "update"}, "update", {"value": "None"}),
    (b"\xef\xbb\xbf{}", "application/octet-stream", {"event": "update"}, "update", {}),
    (b"\xff\x00", "application/octet-stream", {"event": "update"}, "update", {"data_base64": "/wA="}),
    ("message=%EF%BB%BFhalf", "application/x-www-form-urlencoded", {"event": "update"}, "update", {}),
    ('{"a": "ñ"}'.encode("utf-16"), f"{JSON}; charset=utf-16", {"event": "update"}, "update", {"a": "ñ"}),
    ("[1, 2]", None, {"event": "update"}, "update", {"value": [1, 2]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "kind", "parameters", "event", "data"), REPORTS, ids=range(len(REPORTS))
)
def test_a_report_is_read_as_it_is_sent(
    job: str,
    bare: Run,
    body: str | bytes,
    kind: str | None,
    parameters: dict[str, str],
    event: str,
    data: dict[str, Any],
) -> None:
    answer = report(bare, job, body, kind, **parameters).json()
    assert answer.get("last_event") == event, answer
    kept = bare("jobs", "history", job, "-o", "json").rows[-1]["data"]
    assert kept.items() >= data.items()


def test_the_second_life_of_a_job_may_use_the_keys_of_the_first(job: str, bare: Run) -> None:
    revisions = []
    for _ in range(2):
        for event in ("run", "finish"):
            answer = report(bare, job, "{}", JSON, event=event, event_id=f"host-{event}").json()
            revisions.append(answer["revision"])
        for event in ("reset", "ready"):
            assert bare("jobs", "send", event, job).code == 0
    assert revisions == [1, 2, 5, 6]


def test_a_callback_that_says_two_things_is_refused(job: str, bare: Run) -> None:
    reply = report(bare, job, "{}", JSON, event="run", token="0123456789abcdef")
    assert (reply.status_code, "'token' in the URL is given twice" in reply.text) == (400, True)
