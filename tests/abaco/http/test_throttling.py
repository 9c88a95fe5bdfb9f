"""Who guesses the secrets of messages is slowed down, and nobody else."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from abaco.exceptions import TooManyRequests
from abaco.images import Guarded
from abaco.throttling import OF_SENDER, OF_SUBJECT, Throttle
from tests.abaco.running import ACTORS, SECONDS, Client, RunningGateway

RULE = {"by": "subject", "secret": "key", "refusal": "wrong"}
IMAGES = {
    "guarded": {
        "folder": str(ACTORS),
        "command": ["python3", "-c", "import guarded; guarded.main()"],
        "mode": "warm",
        "handler": "guarded:main",
        "throttle": RULE,
        "places": {"subject": ["about.what"], "key": ["about.key"]},
    }
}
_names = itertools.count(1)


class Sender(Client):
    """A user of an actor that asks for keys."""

    def __init__(self, gateway: RunningGateway, name: str, actor: str, **options: Any) -> None:
        super().__init__(gateway.url, gateway.token(name), **options)
        self.name = name
        self._path = f"/{actor}/messages"

    def say(self, subject: str, key: str, *, wait: bool = True) -> httpx.Response:
        """Show a key for a subject."""
        return self.tell(json={"subject": subject, "key": key}, wait=wait)

    def tell(self, *, wait: bool = True, **request: Any) -> httpx.Response:
        """Send a message."""
        parameters = {"_abaco_synchronous": str(wait).lower(), **request.pop("params", {})}
        return self.post(self._path, params=parameters, **request)

    def guess(self, subject: str, number: int = OF_SUBJECT.refusals) -> None:
        """Guess so often that it is too often."""
        for each in range(number):
            reply = self.say(subject, f"guess {each}")
            assert (reply.status_code, reply.json()["kind"]) == (200, "wrong")


@pytest.fixture(scope="module")
def guarded(admin: Client) -> str:
    actor = admin.actor("guarded", stateless=True)
    for name in ("everybody", "ABACO_WORLD"):
        admin.result("POST", f"/{actor}/permissions", json={"user": name, "level": "EXECUTE"})
    return actor


@pytest.fixture
def sender(gateway: RunningGateway, guarded: str) -> Iterator[Sender]:
    """Somebody of whom nothing is known."""
    with Sender(gateway, f"sender{next(_names)}", guarded) as each:
        yield each


@pytest.fixture
def subject(sender: Sender) -> str:
    """A subject that has a key, which nobody has shown yet."""
    name = f"subject{next(_names)}"
    assert sender.tell(json={"set": {name: "right"}}).json() == {"set": True}
    return name


def refused(reply: httpx.Response) -> int:
    """Return the seconds that a sender is to wait."""
    assert reply.status_code == 429, reply.text
    seconds = int(reply.headers["Retry-After"])
    assert reply.json()["status"] == "error"
    assert reply.json()["message"].endswith(f" again in {seconds} s.")
    return seconds


def test_an_operator_is_told_once_who_guesses_and_about_what(
    sender: Sender, subject: str, gateway: RunningGateway
) -> None:
    sender.guess(subject)
    for _ in range(3):
        refused(sender.say(subject, "another"))
    (line,) = [each for each in gateway.lines if subject in each]
    assert f"too many messages from 127.0.0.1, sent by {sender.name}, had a wrong key" in line
    assert f"about '{subject}'" in line
    assert "another" not in line


@pytest.mark.parametrize("exists", [True, False])
def test_a_guesser_waits_longer_each_time(sender: Sender, subject: str, exists: bool) -> None:
    asked = subject if exists else f"un{subject}"
    sender.guess(asked)
    for seconds in (1, 2):
        assert 0 < refused(sender.say(asked, "another")) <= seconds
        time.sleep(seconds)
        assert sender.say(asked, "another").json()["kind"] == "wrong"
    for spelled in (asked.upper(), f"urn:uuid:{asked}", f"URI:URN:{asked}"):
        assert 2 < refused(sender.say(spelled, "another")) <= 4


def test_the_owner_of_the_key_does_not_wait(sender: Sender, subject: str) -> None:
    assert sender.say(subject, "right").json() == {"done": subject}
    sender.guess(subject)
    refused(sender.say(subject, "another"))
    for _ in range(30):
        assert sender.say(subject, "right").json() == {"done": subject}


def test_a_key_that_the_actor_has_told_is_not_slowed(sender: Sender) -> None:
    name = f"subject{next(_names)}"
    made = sender.tell(json={"subject": name, "make": "fresh"}).json()
    assert made == {"subject": name, "key": "fresh"}
    sender.guess(name)
    refused(sender.say(name, "another"))
    assert sender.say(name, "fresh").json() == {"done": name}


def test_a_key_that_holds_no_longer_is_a_guess(sender: Sender, subject: str) -> None:
    assert sender.say(subject, "right").json() == {"done": subject}
    sender.tell(json={"set": {subject: "changed"}})
    for _ in range(OF_SUBJECT.refusals):
        assert sender.say(subject, "right").json()["kind"] == "wrong"
    refused(sender.say(subject, "right"))


def test_a_guess_over_many_subjects_is_slowed_too(sender: Sender, subject: str) -> None:
    assert sender.say(subject, "right").json() == {"done": subject}
    for number in range(OF_SENDER.refusals):
        assert sender.say(f"{subject} {number}", "guess").json()["kind"] == "wrong"
    refused(sender.say(f"{subject} x", "guess"))
    assert sender.say(subject, "right").json() == {"done": subject}


def test_another_sender_does_not_wait(
    gateway: RunningGateway, guarded: str, sender: Sender, subject: str
) -> None:
    sender.guess(subject)
    refused(sender.say(subject, "right"))
    with Sender(gateway, f"sender{next(_names)}", guarded) as other:
        assert other.say(subject, "wrong").json()["kind"] == "wrong"
        assert other.say(subject, "right").json() == {"done": subject}


def test_a_user_of_many_addresses_of_this_machine_is_one_sender(
    gateway: RunningGateway, guarded: str, subject: str
) -> None:
    name = f"sender{next(_names)}"
    for number in range(OF_SUBJECT.refusals + 1):
        transport = httpx.HTTPTransport(local_address=f"127.0.0.{number + 2}")
        with Sender(gateway, name, guarded, transport=transport) as same:
            reply = same.say(subject, f"guess {number}")
    refused(reply)


def test_what_an_accepted_message_names_beside_is_not_taken_for_right(
    sender: Sender, subject: str
) -> None:
    own = f"{subject} own"
    assert sender.tell(json={"set": {own: "mine"}}).json() == {"set": True}
    guesses = [f"guess {number}" for number in range(OF_SUBJECT.refusals + 1)]
    for key in guesses:
        beside = {"subject": subject, "key": key}
        reply = sender.tell(params=beside, json={"subject": own, "key": "mine"})
        assert reply.json() == {"done": own}
    for key in guesses[:-1]:
        assert sender.say(subject, key).json()["kind"] == "wrong"
    refused(sender.say(subject, guesses[-1]))


@pytest.mark.parametrize(
    "request_",
    [
        {"params": {"subject": "SUBJECT", "key": "another"}, "json": {}},
        {"data": {"message": '{"subject": "SUBJECT", "key": "another"}'}},
        {"json": {"message": '{"subject": "SUBJECT", "key": "another"}'}},
        {"params": {"message": '{"subject": "SUBJECT", "key": "another"}'}},
        {"content": '{"subject": "SUBJECT", "key": "another"}'},
        {"json": {"about": {"what": "SUBJECT", "key": "another"}}},
        {"json": {"subject": "SUBJECT", "about": {"key": "another"}}},
        # of several, which one counts is known to the actor only
        {"params": {"subject": "SUBJECT"}, "json": {"subject": "decoy", "key": "another"}},
        {"params": {"subject": "decoy"}, "json": {"subject": "SUBJECT", "key": "another"}},
    ],
)
def test_however_it_is_sent(sender: Sender, subject: str, request_: dict[str, Any]) -> None:
    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(each) for key, each in value.items()}
        return value.replace("SUBJECT", subject)

    sender.guess(subject)
    refused(sender.tell(**named(request_)))


@pytest.mark.parametrize("kind", ["literal", "binary"])
def test_a_key_that_cannot_be_read_is_slowed_too(sender: Sender, subject: str, kind: str) -> None:
    text = f"{{'subject': '{subject}', 'key': 'guess'}}"
    request: dict[str, Any] = {"params": {"message": text}}
    if kind == "binary":
        request = {"content": text, "headers": {"Content-Type": "application/octet-stream"}}
    for _ in range(OF_SUBJECT.refusals):
        assert sender.tell(**request).json()["kind"] == "wrong"
    refused(sender.tell(**request))


def test_a_message_without_a_key_guesses_nothing(sender: Sender, subject: str) -> None:
    for _ in range(2 * OF_SUBJECT.refusals):
        assert sender.tell(json={"subject": subject}).json()["kind"] == "wrong"


def test_a_flood_of_guesses_that_nobody_waits_for_is_stopped(
    admin: Client, guarded: str, sender: Sender, subject: str
) -> None:
    before = len(admin.result("GET", f"/{guarded}/executions")["executions"])
    count = 2 * (OF_SUBJECT.refusals + OF_SUBJECT.in_flight)
    taken = [sender.say(subject, f"{number}", wait=False) for number in range(count)]
    statuses = {reply.status_code for reply in taken}
    assert statuses == {200, 429}
    after = len(admin.result("GET", f"/{guarded}/executions")["executions"])
    assert after - before == sum(reply.status_code == 200 for reply in taken)
    assert after - before <= OF_SUBJECT.refusals + OF_SUBJECT.in_flight
    metrics = httpx.get(str(admin.base_url.join("/metrics")), timeout=SECONDS).text
    (line,) = [
        each for each in metrics.splitlines() if each.startswith("abaco_throttled_messages_total ")
    ]
    assert float(line.split()[1]) >= count - (after - before)


# The reckoning itself


class Clock:
    """The time of a throttle, which a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


GUARDED = Guarded(**RULE)
_ids = (str(number) for number in itertools.count())


def try_one(throttle: Throttle, subject: str = "a", result: bytes = b"") -> int:
    """Send a message and let it end with a result; return the seconds that it has to wait."""
    try:
        attempt = throttle.admit("actor", GUARDED, "sender", [subject], ["key"])
    except TooManyRequests as error:
        return error.retry_after or 0
    execution = next(_ids)
    throttle.watch(execution, attempt)
    throttle.told(execution, result)
    throttle.ended(execution)
    return 0


WRONG = b'{"error": "no", "kind": "wrong"}'


def test_a_guesser_waits_at_most_a_minute(clock: Clock) -> None:
    throttle, waits = Throttle(), []
    for _ in range(2000):
        wait = try_one(throttle, result=WRONG)
        waits.append(wait)
        clock.now += wait
    assert max(waits) == 60
    # in some sixteen hours
    assert waits.count(0) < 1010


def test_refusals_are_forgiven_in_time(clock: Clock) -> None:
    throttle = Throttle()
    assert [try_one(throttle, result=WRONG) for _ in range(11)] == [0] * 10 + [1]
    clock.now += 10 * 60
    assert [try_one(throttle, result=WRONG) for _ in range(11)] == [0] * 10 + [1]


@pytest.mark.parametrize(
    "result",
    [
        b"",
        b"no JSON",
        b"[" * 100_000,
        b'["error"]',
        b'{"error": "no", "kind": "other"}',
        b'{"kind": "wrong"}',
    ],
)
def test_other_results_are_no_refusals(result: bytes) -> None:
    throttle = Throttle()
    assert [try_one(throttle, result=result) for _ in range(50)] == [0] * 50


def test_what_has_ended_without_a_result_is_in_flight_no_more() -> None:
    throttle = Throttle()
    for number in range(3 * OF_SUBJECT.in_flight):
        attempt = throttle.admit("actor", GUARDED, "sender", ["a"], ["key"])
        if number % 2:
            throttle.watch(str(number), attempt)
            throttle.ended(str(number))
        else:
            throttle.withdraw(attempt)


def test_what_is_in_flight_is_bounded() -> None:
    throttle = Throttle()
    for _ in range(OF_SUBJECT.in_flight):
        throttle.admit("actor", GUARDED, "sender", ["a"], ["key"])
    with pytest.raises(TooManyRequests):
        throttle.admit("actor", GUARDED, "sender", ["a"], ["key"])
    throttle.admit("actor", GUARDED, "sender", ["b"], ["key"])
