"""The log for Slack, with a real receiver on 127.0.0.1."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reactors.logs import REDACTED
from reactors.logtypes import get_slack_logger, slack
from reactors.runtime import Reactor
from tests.reactors.conftest import PLATFORM, MakeReactor, run
from tests.reactors.test_logs import CONFIG, ENVIRON, SECRETS
from tests.tenant import Answer, Tenant

PATH = "/services/T0/B0/path-that-is-a-secret"
OK = Answer(body=b"ok")
PROBLEM = "WARNING a line did not reach Slack: "


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tenant]:
    """Slack, which takes every line; what it is not told how to answer is refused with 404."""
    # a test need not wait as long as an actor does
    monkeypatch.setattr(slack, "END_SECONDS", 2.0)
    with Tenant() as tenant:
        tenant.plan(*[OK] * 500)
        yield tenant


def make(
    make_reactor: MakeReactor, url: str, environ: dict[str, str] | None = None, more: str = ""
) -> tuple[Reactor, io.StringIO]:
    """Return a Reactor whose Slack is at a URL, and the stream of its screen."""
    config = CONFIG.format(form="text") + f"slack: {{webhook: '{url}{PATH}'{more}}}\n"
    return make_reactor({**PLATFORM, **(environ or {})}, config)


def arrived(rx: Reactor, receiver: Tenant) -> list[str]:
    """Return the text of all lines, when they have been posted."""
    wait(rx)
    return [request.body["text"] for request in receiver.requests]


def wait(rx: Reactor) -> None:
    logger: logging.Logger = rx.loggers.slack
    logger.handlers[0].flush()


# What arrives


def test_a_line_arrives_with_what_the_settings_say(
    receiver: Tenant, make_reactor: MakeReactor
) -> None:
    more = ", channel: notifications, username: tacobot, icon_emoji: ':taco:'"
    rx, stream = make(make_reactor, receiver.url, {"_abaco_actor_name": "tacos"}, more)
    rx.loggers.slack.info("the job %s is running 🌮", 5)
    wait(rx)
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", PATH)
    assert request.headers["content-type"] == "application/json"
    assert request.body == {
        "text": (
            "tacos: INFO the job 5 is running 🌮 "
            "(actor_id JXxQ5WbDPWpJ0, execution_id rG5k0xKPmMBM)"
        ),
        "channel": "notifications",
        "username": "tacobot",
        "icon_emoji": ":taco:",
    }
    assert stream.getvalue() == ""


@pytest.mark.parametrize("name", ["None", ""])
def test_an_actor_without_a_name_is_called_by_its_id(
    receiver: Tenant, make_reactor: MakeReactor, name: str
) -> None:
    rx, _ = make(make_reactor, receiver.url, {"_abaco_actor_name": name})
    rx.loggers.slack.info("hello")
    assert arrived(rx, receiver)[0].startswith("JXxQ5WbDPWpJ0: INFO hello")


def test_lines_arrive_in_their_order_and_once(receiver: Tenant, make_reactor: MakeReactor) -> None:
    rx, _ = make(make_reactor, receiver.url)
    for number in range(50):
        rx.loggers.slack.info("line %d", number)
    texts = arrived(rx, receiver)
    assert [text.split()[3] for text in texts] == [str(number) for number in range(50)]


def test_only_lines_of_the_level_arrive(receiver: Tenant, make_reactor: MakeReactor) -> None:
    rx, _ = make(make_reactor, receiver.url, {"_REACTOR_LOGS_LEVEL": "WARNING"})
    rx.loggers.slack.info("not this")
    rx.loggers.slack.warning("but this")
    assert len(arrived(rx, receiver)) == 1


def test_the_webhook_may_be_in_the_environment_alone(
    receiver: Tenant, make_reactor: MakeReactor
) -> None:
    rx, _ = make_reactor({**PLATFORM, "_REACTOR_SLACK_WEBHOOK": receiver.url + PATH})
    rx.loggers.slack.info("hello")
    assert len(arrived(rx, receiver)) == 1


# What does not


@pytest.mark.parametrize("name", SECRETS)
def test_a_known_secret_is_blacked_out(
    receiver: Tenant, make_reactor: MakeReactor, name: str
) -> None:
    rx, _ = make(make_reactor, receiver.url, ENVIRON)
    rx.loggers.slack.info("before %s after", SECRETS[name])
    (text,) = arrived(rx, receiver)
    assert f"before {REDACTED} after" in text
    assert SECRETS[name] not in text


def test_the_webhook_is_a_secret_on_screen_and_in_slack(
    receiver: Tenant, make_reactor: MakeReactor
) -> None:
    rx, stream = make(make_reactor, receiver.url)
    for logger in rx.loggers.values():
        logger.info("see %s%s", receiver.url, PATH)
    assert f"see {REDACTED} " in arrived(rx, receiver)[0]
    assert stream.getvalue().endswith(f"see {REDACTED}\n")


def test_a_webhook_that_only_the_logger_knows_is_a_secret_too(receiver: Tenant) -> None:
    webhook = receiver.url + PATH
    logger = get_slack_logger("actor", None, {"slack": {"webhook": webhook}})
    logger.info("see %s", webhook)
    logger.handlers[0].flush()
    assert receiver.requests[0].body == {"text": f"actor: INFO see {REDACTED}"}


def test_an_error_is_one_line_without_secrets(receiver: Tenant, make_reactor: MakeReactor) -> None:
    rx, _ = make(make_reactor, receiver.url, ENVIRON)
    try:
        int(ENVIRON["token"] + "x")
    except ValueError:
        rx.loggers.slack.exception("it failed")
    (text,) = arrived(rx, receiver)
    assert "it failed Traceback" in text
    assert ENVIRON["token"] not in text
    assert len(text.splitlines()) == 1


def test_nothing_in_a_line_is_markup(receiver: Tenant, make_reactor: MakeReactor) -> None:
    rx, _ = make(make_reactor, receiver.url)
    rx.loggers.slack.info("<!channel> a & b <https://example.org|ok>")
    assert "&lt;!channel&gt; a &amp; b &lt;https://example.org|ok&gt;" in arrived(rx, receiver)[0]


def test_a_long_line_is_cut(receiver: Tenant, make_reactor: MakeReactor) -> None:
    rx, _ = make(make_reactor, receiver.url)
    rx.loggers.slack.info("x" * 100_000)
    (text,) = arrived(rx, receiver)
    assert "xxx… (actor_id" in text
    assert len(text) < 4_200


def test_without_a_webhook_nothing_is_sent_and_nothing_said(
    receiver: Tenant, make_reactor: MakeReactor, capsys: pytest.CaptureFixture[str]
) -> None:
    for config in ("", "slack:", "slack: {webhook: ''}", "slack: soon"):
        rx, stream = make_reactor(PLATFORM, config)
        rx.loggers.slack.error("hello")
        wait(rx)
        assert stream.getvalue() == ""
    assert receiver.requests == []
    assert capsys.readouterr() == ("", "")


# Slack is not as it should be


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500])
def test_a_line_that_slack_refuses_is_told_of_once(
    make_reactor: MakeReactor, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with Tenant() as refusing:
        refusing.plan(*[Answer(status, body=b"no")] * 5)
        rx, stream = make(make_reactor, refusing.url)
        for _ in range(3):
            rx.loggers.slack.info("hello")
        assert len(arrived(rx, refusing)) == 3
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(f"{PROBLEM}HTTP status {status}")


def test_after_a_line_that_was_refused_the_next_one_arrives(make_reactor: MakeReactor) -> None:
    with Tenant() as receiver:
        receiver.plan(500, OK)
        rx, _ = make(make_reactor, receiver.url)
        rx.loggers.slack.info("first")
        rx.loggers.slack.info("second")
        assert [text.split()[2] for text in arrived(rx, receiver)] == ["first", "second"]


@pytest.mark.parametrize(
    ("webhook", "problem"),
    [
        ("http://127.0.0.1:9", "URLError"),
        ("http://127.0.0.1:99999", "URLError"),
        ("file:///etc", "slack.webhook is not an http(s) URL"),
        ("soon", "slack.webhook is not an http(s) URL"),
        ("http://[", "ValueError"),
    ],
)
def test_a_webhook_that_is_none_is_told_of_once(
    make_reactor: MakeReactor, webhook: str, problem: str
) -> None:
    rx, stream = make(make_reactor, webhook)
    for _ in range(3):
        rx.loggers.slack.info("hello")
    wait(rx)
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(PROBLEM + problem)
    assert PATH not in line


def test_a_line_with_the_wrong_arguments_arrives_all_the_same(
    receiver: Tenant, make_reactor: MakeReactor
) -> None:
    rx, _ = make(make_reactor, receiver.url)
    rx.loggers.slack.info("%s %d", "ab")
    assert "INFO %s %d ('ab',)" in arrived(rx, receiver)[0]


def test_a_slack_that_does_not_answer_holds_nobody_up(
    make_reactor: MakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack, "END_SECONDS", 0.5)
    monkeypatch.setattr(slack, "POST_SECONDS", 60)
    with Tenant() as silent:
        silent.plan(Answer(delay=60))
        rx, _ = make(make_reactor, silent.url)
        began = time.monotonic()
        for _ in range(100):
            rx.loggers.slack.info("hello")
        wait(rx)
        wait(rx)
        rx.loggers.slack.handlers[0].close()
        assert 0.4 < time.monotonic() - began < 30
        # which is still waited for
        assert len(silent.requests) == 1


def test_lines_do_not_pile_up(make_reactor: MakeReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack, "END_SECONDS", 0.1)
    with Tenant() as silent:
        silent.plan(*[Answer(delay=20)] * 5)
        rx, stream = make(make_reactor, silent.url)
        for _ in range(slack.MAX_WAITING + 100):
            rx.loggers.slack.info("hello")
        assert stream.getvalue().count("\n") == 1
        assert stream.getvalue().endswith(f"{PROBLEM}too many lines are waiting\n")


def test_no_thread_is_left_behind(receiver: Tenant, make_reactor: MakeReactor) -> None:
    def workers() -> list[Any]:
        return [thread for thread in threading.enumerate() if thread.name == "slack"]

    before = workers()
    for number in range(3):
        rx, _ = make(make_reactor, receiver.url)
        rx.loggers.slack.info("line %d", number)
        wait(rx)
    deadline = time.monotonic() + 30
    while set(workers()) - set(before):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(receiver.requests) == 3


# The end of the process

ACTOR = """
from reactors.runtime import Reactor

def main():
    rx = Reactor()
    rx.loggers.slack.info("the last words")
    {end}

main()
"""


@pytest.mark.parametrize("end", ["rx.on_success('done')", "rx.on_failure('done')", "pass"])
def test_the_last_line_of_a_process_arrives(receiver: Tenant, end: str) -> None:
    environ = {**PLATFORM, "_REACTOR_SLACK_WEBHOOK": receiver.url + PATH}
    child = run(ACTOR.format(end=end), **environ)
    assert child.returncode == (1 if "failure" in end else 0), child.stderr
    assert ["the last words" in request.body["text"] for request in receiver.requests] == [True]


def test_a_slack_that_does_not_answer_does_not_keep_a_process_for_long() -> None:
    with Tenant() as silent:
        silent.plan(*[Answer(delay=60)] * 5)
        environ = {**PLATFORM, "_REACTOR_SLACK_WEBHOOK": silent.url + PATH}
        began = time.monotonic()
        child = run(ACTOR.format(end="rx.on_success('done')"), **environ)
        assert time.monotonic() - began < 30
        assert child.returncode == 0
        assert child.stderr.splitlines()[0].endswith("INFO done")
        assert len(silent.requests) == 1
