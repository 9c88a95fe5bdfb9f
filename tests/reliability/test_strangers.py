"""Rows 9, 11 and 13: bodies, tokens and parameters of somebody who means harm."""

from __future__ import annotations

import ast
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest

from abaco.settings import MEBIBYTE
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from tests.abaco.running import PROBE, RunningGateway
from tests.actor import UNKNOWN_JOB, Actor, event, url
from tests.reliability.checker import Outcome, Record
from tests.reliability.running import IMAGE, Sender, running_jobs
from tests.reliability.soak import is_long, many, note

# Row 9

QUICK = many(20.0, 1.0)
"""Seconds of processor time: what grows faster than the body takes minutes."""
FLAT = 192 * MEBIBYTE
FAITHFUL = [
    '{"$where": "sleep(10000)", "$set": {"state": "RETIRED"}}',
    '{"a.b": {"c.d": 1}, "": {"": null}, "_id": 7, "__proto__": {"x": 1}}',
    '{"a": "\\u0000", "b": "\\ud83c\\udf2e", "c": "\\u202e"}',
    '{"n": 9223372036854775807, "x": 1.7976931348623157e308, "small": 5e-324}',
    "{'a': 'it''s', 'b': (1, 2), 'c': None, 'd': True}",
    '{"history": [], "state": "RETIRED", "_update_token": "x"}',
    "{'a': " + "-" * 100_000 + "1}",
    "'" + "\\" * 99_999 + "'",
]
"""Are stored as they were sent, or refused."""
UNREADABLE = [
    "[" * 100_000 + "]" * 100_000,
    '{"a": 1, "a": 2}',
    '{"a": NaN}',
    '{"a": 1e400}',
    f'{{"a": 1{"0" * 400}}}',
    '{"a": "\\ud800"}',
    json.dumps({"a": "x" * 16 * MEBIBYTE}),
    "{'a': " + "(" * 90 + ")" * 90 + "}",
    "[" + "9" * 100_000 + "]",
]


@pytest.mark.parametrize("number", range(len(FAITHFUL) + len(UNREADABLE)))
def test_a_hostile_body_is_kept_faithfully_or_refused_soon(
    actor: Actor, job: Document, number: int
) -> None:
    body = [*FAITHFUL, *UNREADABLE][number]
    process = psutil.Process()
    size, began = process.memory_info().rss, time.process_time()
    run = actor.main(body, url(job, event="run"))
    assert time.process_time() - began < QUICK
    assert process.memory_info().rss - size < FLAT
    assert len(run.lines) == 1
    assert "unexpected" not in run.lines[0]
    history = actor.job(job["uuid"])["history"]
    measured = f"each kept faithfully or refused within {QUICK:g} s"
    note(9, "bodies sent to the actor", 1, measured=measured)
    assert run.code == (len(history) == 1)
    for entry in history[1:]:
        if entry["data"] == {"value": body}:
            # a string as it was
            continue
        assert number < len(FAITHFUL)
        sent = json.loads(body) if body.startswith('{"') else ast.literal_eval(body)
        assert json.dumps(entry["data"]) == json.dumps(sent)


# Row 11

GUESSES = many(80, 10_000)
SAMPLES = 3_000
MAX_T = 4.5
"""Of Welch's test: beyond it, the two times differ."""


@pytest.mark.parametrize("targets", [1, pytest.param(16, marks=pytest.mark.long)])
def test_wrong_tokens_are_answered_as_for_an_unknown_job_and_slowed_down(
    running: RunningGateway, jobs: PipelineJobStore, pipeline: Document, targets: int
) -> None:
    record, guesses = Record(), Record()
    owned, *attacked = running_jobs(jobs, pipeline, 1 + targets)
    with running.admin() as admin, running.client("mallory") as mallory:
        actor = admin.actor(IMAGE)
        admin.result("POST", f"/{actor}/permissions", json={"user": "mallory", "level": "EXECUTE"})
        owner, guesser = Sender(admin, actor, record), Sender(mallory, actor, guesses)
        unknown = {"uuid": UNKNOWN_JOB, "_update_token": "0" * 16}
        expected = json.dumps(guesser.send(unknown)[1]).replace(UNKNOWN_JOB, "JOB")
        answers: Counter[str] = Counter()
        for number in range(GUESSES):
            job = attacked[number % targets]
            wrong = {"uuid": job["uuid"], "_update_token": f"{number:016x}"}
            _, answer = guesser.send(wrong)
            answers[json.dumps(answer).replace(job["uuid"], "JOB")] += 1
            if number % (GUESSES // 10) == 0:
                assert owner.send(owned)[0].outcome is Outcome.ACKNOWLEDGED
                assert owner.send(attacked[0])[0].outcome is Outcome.ACKNOWLEDGED
    assert guesses.count(Outcome.ACKNOWLEDGED) == 0
    slowed = answers.total() - answers.pop(expected)
    assert slowed == sum(
        count for text, count in answers.items() if json.loads(text).get("status") == "error"
    )
    assert slowed > many(0, GUESSES / 2)
    measured = f"{slowed:,} of them were put off (429)"
    what = f"wrong tokens on {'one job' if targets == 1 else f'{targets} jobs'}"
    note(11, what, GUESSES, record=record, measured=measured)


@pytest.mark.alone
@pytest.mark.skipif(not is_long(), reason="a measurement")
def test_the_time_of_an_answer_does_not_tell_how_much_of_a_token_is_right(
    actor: Actor, job: Document
) -> None:
    right = job["_update_token"]
    other = "0" if right[-1] != "0" else "1"
    tokens = (right[:-1] + other, ("0" if right[0] != "0" else "1") + right[1:])
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * SAMPLES):
        kind = number % 2
        body = event({**job, "_update_token": tokens[kind]}, "run")
        began = time.thread_time()
        assert actor.send(body).kind == "not_authorized"
        times[kind].append(time.thread_time() - began)
    t = welch(*times)
    assert abs(t) < MAX_T
    note(
        11,
        "timed answers to tokens of a right and a wrong beginning",
        2 * SAMPLES,
        measured=f"Welch's t = {t:.2f}",
    )


def welch(one: list[float], other: list[float]) -> float:
    """Return Welch's t of two samples."""
    spread = sum(statistics.variance(each) / len(each) for each in (one, other))
    return float((statistics.fmean(one) - statistics.fmean(other)) / spread**0.5)


# Row 13

NAMES = (
    *("PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "_PYTHON_HOST"),
    *("COVERAGE_PROCESS_START", "BASH_ENV", "HOME", "HTTPS_PROXY", "SSL_CERT_FILE", "MSG"),
    *("_REACTOR_MONGODB_AUTHN", "_REACTOR_AUTHORIZATION_TRUSTED_USERS", "_REACTOR_LOGS_FILE"),
    *("_abaco_username", "_abaco_actor_id", "_abaco_access_token", "_abaco_results_socket"),
    *("_abaco_execution_id", "_abaco_anything", "_actor_configs", "CATALOG_ADMIN_TOKEN_KEY"),
)
EVIL = "evil-value"
TELLERS = ("teller", "cold teller")


@pytest.fixture(scope="module")
def tellers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with the actors that tell what they are given."""
    images = {image: {**PROBE[image], "protected": ["CATALOG_*"]} for image in TELLERS}
    with RunningGateway(tmp_path_factory.mktemp("tellers"), images) as running:
        yield running


@pytest.mark.parametrize("image", TELLERS)
def test_a_parameter_that_could_change_a_process_never_reaches_it(
    tellers: RunningGateway, image: str
) -> None:
    with tellers.client() as ada:
        actor = ada.actor(image)
        for name in NAMES:
            reply = ada.ask(actor, {}, **{name: EVIL})
            if reply.is_success:
                assert EVIL not in json.dumps(reply.json()), name
            else:
                assert reply.status_code == 400, name
                assert name in reply.json()["message"]
        assert EVIL not in tellers.log.read_text()
    note(13, f"parameters that no process may be given ({image})", len(NAMES))
