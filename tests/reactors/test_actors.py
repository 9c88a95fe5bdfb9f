"""Aliases, attributes, nonces and webhooks, with the gateway as the platform."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from reactors.abacoid import is_abacoid
from reactors.exceptions import PlatformError, SettingsError
from reactors.runtime import Reactor
from tests.abaco.running import PROBE, Client, RunningGateway
from tests.conftest import ROOT
from tests.reactors.conftest import MakeReactor
from tests.tenant import Answer, Tenant

ALIAS = "tacobot"
LINKED = "linked_reactors: {events: {id: G56vjoAVzGkkq}, empty: {id: ''}, odd: 5, none: {}}"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("actor")
    (folder / "actor.py").write_text(ACTOR)
    hooks = {
        "folder": str(folder),
        "command": ["python3", "actor.py"],
        "environment": {"PYTHONPATH": str(ROOT)},
    }
    images = {**PROBE, "hooks": hooks}
    running = RunningGateway(tmp_path_factory.mktemp("gateway"), images).start()
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="module")
def ada(gateway: RunningGateway) -> Iterator[Client]:
    """The owner of the actors."""
    with gateway.client("ada") as client:
        yield client


@pytest.fixture(scope="module")
def stranger(gateway: RunningGateway) -> Iterator[Client]:
    """Somebody without a token."""
    with Client(gateway.url) as client:
        yield client


@pytest.fixture(scope="module")
def other(ada: Client) -> str:
    """An actor with the alias `tacobot`."""
    actor = ada.actor(name="other")
    ada.result("POST", "/aliases", json={"actorId": actor, "alias": ALIAS})
    return actor


@pytest.fixture
def rx(gateway: RunningGateway, ada: Client, make_reactor: MakeReactor) -> Reactor:
    """An execution of an actor that has no nonces yet."""
    return execution(gateway, ada.actor(name="probe"), make_reactor)


def execution(
    gateway: RunningGateway, actor: str, make_reactor: MakeReactor, user: str = "ada"
) -> Reactor:
    environ = {
        "_abaco_actor_id": actor,
        "_abaco_api_server": gateway.url,
        "_abaco_access_token": gateway.token(user),
    }
    return make_reactor(environ, LINKED)[0]


def ids(nonces: list[Any]) -> list[str]:
    return [nonce["id"] for nonce in nonces]


# Aliases


@pytest.mark.parametrize(
    ("alias", "actor"),
    [
        ("me", "JXxQ5WbDPWpJ0"),
        ("self", "JXxQ5WbDPWpJ0"),
        ("Self", "JXxQ5WbDPWpJ0"),
        ("G56vjoAVzGkkq", "G56vjoAVzGkkq"),
        ("events", "G56vjoAVzGkkq"),
        ("Events", "Events"),
        ("empty", "empty"),
        ("odd", "odd"),
        ("none", "none"),
        ("tacobot", "tacobot"),
        ("", ""),
    ],
)
def test_an_alias_is_resolved_as_far_as_it_is_known(
    make_reactor: MakeReactor, alias: str, actor: str
) -> None:
    rx, _ = make_reactor({"_abaco_actor_id": "JXxQ5WbDPWpJ0"}, LINKED)
    assert rx.resolve_actor_alias(alias) == rx.resolve_alias(alias) == actor


@pytest.mark.parametrize("config", ["", "linked_reactors:", "linked_reactors: [a]"])
def test_an_alias_stays_where_the_settings_know_none(
    make_reactor: MakeReactor, config: str
) -> None:
    assert make_reactor({}, config)[0].resolve_alias("events") == "events"


def test_an_id_of_the_platform_is_known_from_an_alias(other: str) -> None:
    assert is_abacoid(other)
    assert not any(is_abacoid(text) for text in ("", ALIAS, "me", "x" * 10_000, other + "!"))


def test_a_message_goes_to_the_actor_that_the_alias_stands_for(
    gateway: RunningGateway, ada: Client, other: str, make_reactor: MakeReactor
) -> None:
    environ = {"_abaco_api_server": gateway.url, "_abaco_access_token": gateway.token("ada")}
    rx, _ = make_reactor(environ, f"linked_reactors: {{prints: {{id: {other}}}}}")
    for name in ("prints", ALIAS, other):
        execution_id = str(rx.send_message(name, {"print": f"for {name}"}, ignoreErrors=False))
        ada.ended(other, execution_id)
        assert ada.logs(other, execution_id) == f"for {name}\n"


# Attributes


def test_the_attributes_of_an_actor_are_told(rx: Reactor, ada: Client, other: str) -> None:
    told = rx.get_attr()
    assert (told["id"], told["name"], told["owner"]) == (rx.uid, "probe", "ada")
    assert rx.get_attr("image") == "cold"
    assert rx.get_attr("name", ALIAS) == rx.get_attr("name", actorId=other) == "other"
    assert rx.actor_property("stateless") is True
    assert rx.actor_property("name", ALIAS) == "other"


def test_an_attribute_that_an_actor_does_not_have_is_none(rx: Reactor) -> None:
    assert rx.get_attr("salsa") is None


@pytest.mark.parametrize("actor", ["nobody", "a/b?x=1", "%2e%2e"])
def test_an_actor_that_there_is_not_is_named(rx: Reactor, actor: str) -> None:
    with pytest.raises(PlatformError, match="could not be read: HTTP status 404") as caught:
        rx.get_attr(actorId=actor)
    assert f"the attributes of actor {actor} " in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_lead_elsewhere_is_refused(rx: Reactor, name: str) -> None:
    webhook = f"{rx.api_server}/actors/v2/{rx.uid}/messages?x-nonce={name or '%20'}"
    for do in (
        lambda: rx.get_attr(actorId=name),
        lambda: rx.list_nonces(name),
        lambda: rx.get_nonce(name),
        lambda: rx.delete_nonce(name),
        lambda: rx.delete_webhook(webhook.strip()),
    ):
        with pytest.raises((ValueError, PlatformError)):
            do()
    assert rx.get_attr("status") == "READY"


# Nonces


def test_a_nonce_may_by_default_read_once(rx: Reactor, ada: Client, stranger: Client) -> None:
    nonce = rx.add_nonce()
    assert (nonce["level"], nonce["maxUses"], nonce["actorId"]) == ("READ", 1, rx.uid)
    replies = [stranger.get(f"/{rx.uid}", params={"x-nonce": nonce["id"]}) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 400]


def test_a_nonce_is_made_as_it_is_asked_for(rx: Reactor) -> None:
    nonce = rx.add_nonce(permission="EXECUTE", maxuses=3)
    assert (nonce["level"], nonce["maxUses"]) == ("EXECUTE", 3)
    assert rx.get_nonce(nonce["id"])["remainingUses"] == 3


def test_nonces_are_listed_and_deleted_one_by_one(rx: Reactor) -> None:
    assert rx.list_nonces() == []
    first, second = rx.add_nonce(), rx.add_nonce("EXECUTE", -1)
    assert sorted(ids(rx.list_nonces())) == sorted(ids([first, second]))
    assert rx.delete_nonce(first["id"]) is True
    assert ids(rx.list_nonces()) == [second["id"]]


def test_all_nonces_are_deleted(rx: Reactor) -> None:
    for _ in range(3):
        rx.add_nonce()
    assert rx.delete_all_nonces() is True
    assert rx.list_nonces() == []
    assert rx.delete_all_nonces() is True


def test_another_actor_may_have_them_too(rx: Reactor, other: str) -> None:
    nonce = rx.add_nonce("READ", 1, ALIAS)
    assert nonce["actorId"] == other
    assert rx.list_nonces() == []
    assert rx.get_nonce(nonce["id"], other)["id"] == nonce["id"]
    assert nonce["id"] in ids(rx.list_nonces(actorId=other))
    rx.delete_nonce(nonceId=nonce["id"], actorId=ALIAS)
    assert nonce["id"] not in ids(rx.list_nonces(ALIAS))


def test_what_the_platform_does_not_do_is_told_in_its_words(rx: Reactor) -> None:
    unknown = "SD2E_vWLMoNzODyAW5"
    for do, problem in (
        (lambda: rx.add_nonce("BAKE"), "the nonce for actor {} was not made: HTTP status 400"),
        (lambda: rx.add_nonce(maxuses=0), "the nonce for actor {} was not made: HTTP status 400"),
        (lambda: rx.get_nonce(unknown), "the nonce of actor {} could not be read: HTTP status 400"),
        (lambda: rx.delete_nonce(unknown), "the nonce of actor {} was not deleted: HTTP status"),
        (lambda: rx.delete_nonce("../.."), "the nonce of actor {} was not deleted: HTTP status"),
    ):
        with pytest.raises(PlatformError) as caught:
            do()
        assert str(caught.value).startswith(problem.format(rx.uid))
        assert unknown not in str(caught.value)
        assert caught.value.__cause__ is caught.value.__context__ is None
    with pytest.raises(PlatformError, match="The level attribute must be one of"):
        rx.add_nonce("BAKE")


def test_nobody_makes_nonces_for_the_actors_of_others(
    gateway: RunningGateway, other: str, make_reactor: MakeReactor
) -> None:
    stranger = execution(gateway, other, make_reactor, user="bob")
    for do in (stranger.add_nonce, stranger.list_nonces, stranger.create_webhook):
        with pytest.raises(PlatformError, match="HTTP status 400: Not authorized"):
            do()


def test_an_actor_without_an_access_token_is_told_what_to_do(
    gateway: RunningGateway, make_reactor: MakeReactor
) -> None:
    rx, _ = make_reactor({"_abaco_api_server": gateway.url, "_abaco_access_token": ""})
    with pytest.raises(SettingsError, match="create the actor with its token"):
        rx.add_nonce()


@pytest.mark.parametrize("way", ["add", "get", "list", "delete"])
def test_nonces_are_blacked_out_in_the_log(
    gateway: RunningGateway, rx: Reactor, make_reactor: MakeReactor, way: str
) -> None:
    nonce = rx.add_nonce()["id"]
    environ = {name: value for name, value in rx.environ.items() if name.startswith("_abaco")}
    learner, log = make_reactor(environ)
    if way == "add":
        nonce = learner.add_nonce()["id"]
    elif way == "list":
        learner.list_nonces()
    else:
        (learner.get_nonce if way == "get" else learner.delete_nonce)(nonce)
    learner.logger.info("it was %s", nonce)
    assert log.getvalue().endswith("it was [redacted]\n")


# Webhooks


def test_whoever_knows_a_webhook_can_post_to_the_actor(rx: Reactor, ada: Client) -> None:
    webhook = rx.create_webhook()
    for number in range(2):
        reply = httpx.post(webhook, json={"print": f"post {number}"})
        assert reply.status_code == 200, reply.text
        execution_id = reply.json()["result"]["executionId"]
        ada.ended(rx.uid, execution_id)
        assert ada.logs(rx.uid, execution_id) == f"post {number}\n"


def test_a_webhook_is_a_url_with_one_slash(
    gateway: RunningGateway, other: str, make_reactor: MakeReactor
) -> None:
    environ = {
        "_abaco_actor_id": other,
        "_abaco_api_server": f"{gateway.url}/",
        "_abaco_access_token": gateway.token("ada"),
    }
    webhook = make_reactor(environ)[0].create_webhook()
    place = re.escape(f"{gateway.url}/actors/v2/{other}/messages")
    assert re.fullmatch(rf"{place}\?x-nonce=SD2E_\w+", webhook)


def test_a_webhook_may_be_for_one_post(rx: Reactor) -> None:
    webhook = rx.create_webhook(permission="EXECUTE", maxuses=1)
    assert [httpx.post(webhook, json={"sleep": 0}).status_code for _ in range(2)] == [200, 400]


def test_a_webhook_for_an_alias_works(rx: Reactor, other: str) -> None:
    """The nonce of an actor does not count with an alias in the URL."""
    webhook = rx.create_webhook(actorId=ALIAS)
    assert f"/{other}/messages" in webhook
    assert httpx.post(webhook, json={"sleep": 0}).status_code == 200
    assert rx.delete_webhook(webhook) is True
    assert httpx.post(webhook, json={"sleep": 0}).status_code == 400


def test_a_deleted_webhook_takes_nothing_and_the_others_go_on(rx: Reactor) -> None:
    webhook, another = rx.create_webhook(), rx.create_webhook()
    assert rx.delete_webhook(webhook, rx.uid) is True
    assert httpx.post(webhook, json={"sleep": 0}).status_code == 400
    assert httpx.post(another, json={"sleep": 0}).status_code == 200


def test_a_webhook_with_more_in_its_query_is_deleted_as_well(rx: Reactor) -> None:
    webhook = rx.create_webhook()
    longer = webhook.replace("?", "?token=0123456789abcdef&") + "&status=${JOB_STATUS}"
    assert rx.delete_webhook(longer) is True
    assert rx.list_nonces() == []


def test_a_webhook_that_is_gone_is_an_error(rx: Reactor) -> None:
    webhook = rx.create_webhook()
    rx.delete_all_nonces()
    with pytest.raises(PlatformError, match="was not deleted: HTTP status 400: Nonce not found"):
        rx.delete_webhook(webhook)


@pytest.mark.parametrize(
    "webhook",
    [
        "",
        "soon",
        "https://api.sd2e.org/actors/v2/JXxQ5WbDPWpJ0/messages",
        "https://api.sd2e.org/actors/v2/JXxQ5WbDPWpJ0/messages?x-nonce=",
        "https://api.sd2e.org/actors/v2/JXxQ5WbDPWpJ0/executions?x-nonce=SD2E_vWLMoNzODyAW5",
        "https://api.sd2e.org/actors/v2//messages?x-nonce=SD2E_vWLMoNzODyAW5",
        "https://api.sd2e.org/x?x-nonce=SD2E_vWLMoNzODyAW5",
    ],
)
def test_what_is_no_webhook_is_refused_with_what_to_change(
    make_reactor: MakeReactor, webhook: str
) -> None:
    rx, _ = make_reactor()
    with pytest.raises(ValueError, match="is not a webhook: it has to end with") as caught:
        rx.delete_webhook(webhook)
    assert "SD2E_vWLMoNzODyAW5" not in str(caught.value)


# The platform is not as it should be


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer(500), "HTTP status 500: as planned"),
        (Answer(502, body=b"<html>gateway</html>"), "HTTP status 502: Bad Gateway"),
        (Answer(200, body=b"<html>log in</html>"), "JSONDecodeError"),
    ],
)
def test_an_answer_that_is_none_is_a_failure(
    tenant: Tenant, make_reactor: MakeReactor, answer: Answer, problem: str
) -> None:
    rx, _ = make_reactor({**tenant.environ, "_abaco_actor_id": "JXxQ5WbDPWpJ0"})
    tenant.plan(answer)
    with pytest.raises(PlatformError) as caught:
        rx.create_webhook()
    assert str(caught.value) == f"the nonce for actor JXxQ5WbDPWpJ0 was not made: {problem}"


# An actor on the gateway

ACTOR = """
import json
from reactors.runtime import Reactor

def main():
    rx = Reactor()
    orders = rx.context.message_dict
    if "delete" in orders:
        rx.delete_webhook(orders.delete)
        rx.on_success("deleted")
    webhook = rx.create_webhook(maxuses=1)
    rx.send_result(json.dumps({"webhook": webhook, "image": rx.get_attr("image")}).encode())
    rx.on_success(f"made {webhook}")

main()
"""


def test_an_actor_makes_and_deletes_its_own_webhook(ada: Client) -> None:
    actor = ada.actor("hooks", token=True)
    reply = ada.ask(actor, {"make": True})
    told = json.loads(reply.text)
    assert told["image"] == "hooks"
    post = {"delete": told["webhook"]}
    first = httpx.post(told["webhook"], json=post)
    assert first.status_code == 200, first.text
    execution_id = first.json()["result"]["executionId"]
    assert ada.ended(actor, execution_id)["exitCode"] == 0
    assert httpx.post(told["webhook"], json=post).status_code == 400
    (made, deleted) = [
        ada.logs(actor, one["id"])
        for one in ada.result("GET", f"/{actor}/executions")["executions"]
    ]
    assert made.endswith("x-nonce=[redacted]\n")
    assert deleted.endswith("INFO deleted\n")
