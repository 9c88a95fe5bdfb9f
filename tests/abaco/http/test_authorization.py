from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from abaco.store.permissions import LEVELS
from tests.abaco.running import NOWHERE, Client, RunningGateway

NOT_THIS_ACTOR = "Not authorized -- you do not have access to this actor."
NOT_THIS_ALIAS = "Not authorized -- you do not have access to this alias."
NOT_BOTH = "Not authorized -- you do not have access to this alias and actor."
NOT_THIS_CONFIG = "You do not have sufficient access to this actor config."
ONLY_ADMINS = "Not authorized -- only admins are authorized to update workers."
WORLD = "ABACO_WORLD"


class Request(NamedTuple):
    """A request, the least level that it needs, and the status that it is then answered with."""

    method: str
    path: str
    needs: str
    body: dict[str, Any] | None = None
    status: int = 200

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def send(self, client: Client, name: str) -> httpx.Response:
        return client.request(self.method, self.path.format(name), json=self.body)

    def check(self, reply: httpx.Response, refusal: str, *, allowed: bool) -> None:
        if allowed:
            assert reply.status_code == self.status, reply.text
            assert "authorized" not in reply.text
        else:
            assert (reply.status_code, reply.json()["message"]) == (400, refusal)


OF_ACTORS = (
    Request("GET", "/{}", "READ"),
    Request("GET", "/{}/messages", "READ"),
    Request("GET", "/{}/executions", "READ"),
    Request("GET", "/{}/executions?limit=1", "READ"),
    Request("GET", "/{}/executions/X", "READ", status=400),
    Request("GET", "/{}/executions/X/logs", "READ", status=400),
    Request("GET", "/{}/executions/X/results", "READ"),
    Request("GET", "/{}/nonces", "READ"),
    Request("GET", "/{}/nonces/X", "READ", status=400),
    Request("GET", "/{}/permissions", "READ"),
    Request("GET", "/{}/workers", "READ"),
    Request("GET", "/{}/workers/X", "READ", status=404),
    Request("GET", "/{}/state", "READ"),
    Request("POST", "/{}/messages", "EXECUTE", {"message": "hello"}),
    Request("DELETE", "/{}/messages", "UPDATE"),
    Request("DELETE", "/{}/executions/X", "UPDATE", status=400),
    Request("POST", "/{}/nonces", "UPDATE"),
    Request("DELETE", "/{}/nonces/X", "UPDATE", status=400),
    Request("POST", "/{}/permissions", "UPDATE", {"user": "eve", "level": "READ"}),
    Request("DELETE", "/{}/workers/X", "UPDATE", status=404),
    Request("POST", "/{}/state", "UPDATE", {"tacos": 3}),
    Request("PUT", "/{}", "UPDATE", {"image": NOWHERE, "stateless": False}),
    Request("DELETE", "/{}", "UPDATE"),
)
OF_ALIASES = (
    Request("GET", "/aliases/{}", "READ"),
    Request("GET", "/aliases/{}/permissions", "READ"),
    Request("POST", "/aliases/{}/permissions", "UPDATE", {"user": "eve", "level": "READ"}),
    Request("DELETE", "/aliases/{}", "UPDATE"),
)
OF_NONCES_OF_ALIASES = (
    Request("GET", "/aliases/{}/nonces", "READ"),
    Request("GET", "/aliases/{}/nonces/X", "READ", status=400),
    Request("POST", "/aliases/{}/nonces", "UPDATE"),
    Request("DELETE", "/aliases/{}/nonces/X", "UPDATE", status=400),
)
OF_CONFIGS = (
    Request("GET", "/configs/{}", "READ"),
    Request("GET", "/configs/{}/permissions", "READ"),
    Request("POST", "/configs/{}/permissions", "UPDATE", {"user": "eve", "level": "READ"}),
    Request("PUT", "/configs/{}", "UPDATE", {"value": "2", "actors": ""}),
    Request("DELETE", "/configs/{}", "UPDATE"),
)
GRANTS = (None, *LEVELS)
"""None: there is no permission at all."""

names = (f"name-{number}" for number in itertools.count())


def suffices(granted: str | None, needed: str) -> bool:
    return granted is not None and LEVELS.index(granted) >= LEVELS.index(needed)


def grant(ada: Client, subject: str, level: str | None, user: str = "bob") -> None:
    if level is not None:
        ada.result("POST", f"{subject}/permissions", json={"user": user, "level": level})


def name_actor(ada: Client, actor: str) -> str:
    alias = next(names)
    ada.result("POST", "/aliases", json={"alias": alias, "actorId": actor})
    return alias


@pytest.fixture(scope="module")
def actors(ada: Client) -> dict[str | None, str]:
    """An actor for each level that bob may have on it."""
    found = {granted: ada.actor(NOWHERE, stateless=False) for granted in GRANTS}
    for granted, actor in found.items():
        grant(ada, f"/{actor}", granted)
    return found


@pytest.mark.parametrize("granted", GRANTS)
@pytest.mark.parametrize("request_", OF_ACTORS, ids=str)
def test_what_a_level_on_an_actor_allows(
    ada: Client,
    bob: Client,
    actors: dict[str | None, str],
    request_: Request,
    granted: str | None,
) -> None:
    actor = actors[granted]
    if str(request_) == "DELETE /{}":
        actor = ada.actor(NOWHERE)
        grant(ada, f"/{actor}", granted)
    reply = request_.send(bob, actor)
    request_.check(reply, NOT_THIS_ACTOR, allowed=suffices(granted, request_.needs))


@pytest.mark.parametrize("request_", OF_ACTORS, ids=str)
def test_an_administrator_needs_no_permission(
    ada: Client, admin: Client, request_: Request
) -> None:
    actor = ada.actor(NOWHERE, stateless=False)
    request_.check(request_.send(admin, actor), NOT_THIS_ACTOR, allowed=True)


@pytest.mark.parametrize("granted", GRANTS)
@pytest.mark.parametrize("request_", OF_ALIASES, ids=str)
def test_what_a_level_on_an_alias_allows(
    ada: Client, bob: Client, request_: Request, granted: str | None
) -> None:
    alias = name_actor(ada, ada.actor(NOWHERE))
    grant(ada, f"/aliases/{alias}", granted)
    reply = request_.send(bob, alias)
    request_.check(reply, NOT_THIS_ALIAS, allowed=suffices(granted, request_.needs))


@pytest.mark.parametrize("request_", OF_NONCES_OF_ALIASES, ids=str)
def test_the_nonces_of_an_alias_need_a_level_on_alias_and_actor(
    ada: Client, bob: Client, request_: Request
) -> None:
    for on_alias, on_actor in itertools.product((None, "READ", "UPDATE"), repeat=2):
        actor = ada.actor(NOWHERE)
        alias = name_actor(ada, actor)
        grant(ada, f"/aliases/{alias}", on_alias)
        grant(ada, f"/{actor}", on_actor)
        allowed = suffices(on_alias, request_.needs) and suffices(on_actor, request_.needs)
        request_.check(request_.send(bob, alias), NOT_BOTH, allowed=allowed)


@pytest.mark.parametrize("granted", GRANTS)
def test_an_alias_is_made_and_moved_by_who_may_change_the_actor(
    ada: Client, bob: Client, granted: str | None
) -> None:
    actor, mine = ada.actor(NOWHERE), bob.actor(NOWHERE)
    grant(ada, f"/{actor}", granted)
    allowed = suffices(granted, "UPDATE")
    for request_, name in (
        (Request("POST", "/aliases", "", {"alias": next(names), "actorId": actor}), ""),
        (Request("PUT", "/aliases/{}", "", {"actorId": actor}), name_actor(bob, mine)),
    ):
        reason = (
            "Not authorized -- you do not have UPDATE access to the actor you want to associate "
            f"with this alias: that needs UPDATE on {actor}."
        )
        request_.check(request_.send(bob, name), reason, allowed=allowed)


@pytest.mark.parametrize("granted", GRANTS)
def test_an_alias_is_no_way_around_the_actor(ada: Client, bob: Client, granted: str | None) -> None:
    actor = ada.actor(NOWHERE, stateless=False)
    alias = name_actor(ada, actor)
    grant(ada, f"/aliases/{alias}", "UPDATE")
    grant(ada, f"/{actor}", granted)
    for request_ in OF_ACTORS[:-1]:
        reply = request_.send(bob, alias)
        request_.check(reply, NOT_THIS_ACTOR, allowed=suffices(granted, request_.needs))


@pytest.mark.parametrize("granted", GRANTS)
@pytest.mark.parametrize("request_", OF_CONFIGS, ids=str)
def test_what_a_level_on_a_config_allows(
    ada: Client, bob: Client, request_: Request, granted: str | None
) -> None:
    config = next(names)
    ada.result("POST", "/configs", json={"name": config, "value": "1", "actors": ""})
    grant(ada, f"/configs/{config}", granted)
    reply = request_.send(bob, config)
    request_.check(reply, NOT_THIS_CONFIG, allowed=suffices(granted, request_.needs))


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "", "any"),
        Request("POST", "", "any", {"image": NOWHERE}),
        Request("GET", "/aliases", "any"),
        Request("GET", "/configs", "any"),
        Request("GET", "/utilization", "any"),
        Request("GET", "/search/actors", "any"),
    ],
    ids=str,
)
def test_what_every_user_may(bob: Client, request_: Request) -> None:
    assert request_.send(bob, "").status_code == 200


def test_workers_are_added_by_administrators_only(ada: Client, admin: Client) -> None:
    actor = ada.actor()
    assert ada.refusal("POST", f"/{actor}/workers", json={"num": 2}) == ONLY_ADMINS
    assert len(ada.result("GET", f"/{actor}/workers")) == 1
    admin.result("POST", f"/{actor}/workers", json={"num": 2})
    assert len(ada.result("GET", f"/{actor}/workers")) == 2


@pytest.mark.parametrize("granted", LEVELS)
def test_everybody_has_the_level_of_the_world(ada: Client, bob: Client, granted: str) -> None:
    actor = ada.actor(NOWHERE, stateless=False)
    grant(ada, f"/{actor}", granted, WORLD)
    for request_ in OF_ACTORS:
        reply = request_.send(bob, actor)
        request_.check(reply, NOT_THIS_ACTOR, allowed=suffices(granted, request_.needs))


def test_the_level_of_a_user_and_of_the_world_add_up(ada: Client, bob: Client) -> None:
    actor = ada.actor(NOWHERE)
    for own, of_world in (("NONE", "EXECUTE"), ("EXECUTE", "READ")):
        grant(ada, f"/{actor}", own)
        grant(ada, f"/{actor}", of_world, WORLD)
        assert bob.post(f"/{actor}/messages", json={"message": "hello"}).status_code == 200
        assert bob.refusal("DELETE", f"/{actor}/messages") == NOT_THIS_ACTOR


def test_a_list_has_what_its_reader_may_read(ada: Client, bob: Client, admin: Client) -> None:
    actors = {level: ada.actor(NOWHERE) for level in (*LEVELS, "world", "nobody")}
    for level in LEVELS:
        grant(ada, f"/{actors[level]}", level)
    grant(ada, f"/{actors['world']}", "READ", WORLD)

    def seen(client: Client) -> set[str]:
        return {each["id"] for each in client.result("GET", "")} & set(actors.values())

    assert seen(bob) == {actors[level] for level in ("READ", "EXECUTE", "UPDATE", "world")}
    assert seen(ada) == seen(admin) == set(actors.values())


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with two tenants, whose users and names are the same."""
    settings = {"tenants": {"SD2E": {"public_url": "http://one.example.org"}, "TACC": None}}
    running = RunningGateway(tmp_path_factory.mktemp("tenants"), settings=settings).start()
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="module")
def one(tenants: RunningGateway) -> Iterator[Client]:
    with tenants.client("ada", tenant="SD2E") as client:
        yield client


@pytest.fixture(scope="module")
def other(tenants: RunningGateway) -> Iterator[Client]:
    with tenants.client("ada", tenant="TACC") as client:
        yield client


def test_an_alias_means_another_actor_in_each_tenant(one: Client, other: Client) -> None:
    actors = {client: client.actor(description="mine") for client in (one, other)}
    for client, actor in actors.items():
        client.result("POST", "/aliases", json={"alias": "echo", "actorId": actor})
    for client, actor in actors.items():
        assert client.result("GET", "/echo")["id"] == actor
        assert [each["id"] for each in client.result("GET", "")] == [actor]
        assert [each["actorId"] for each in client.result("GET", "/aliases")] == [actor]
        found = client.result("GET", "/search/actors", params={"description": "mine"})
        assert [each["id"] for each in found["search"]] == [actor]
        assert client.result("GET", "/utilization")["currentActors"] == 1
        told = client.ask("echo", {"tell": ["environment"]}).json()["environment"]
        assert told["_abaco_actor_id"] == actor
    one.result("DELETE", "/aliases/echo")
    assert other.result("GET", "/echo")["id"] == actors[other]


def test_nothing_of_another_tenant_can_be_reached(
    one: Client, other: Client, tenants: RunningGateway
) -> None:
    actor = one.actor(stateless=False)
    name_actor(one, actor)
    nonce = one.result("POST", f"/{actor}/nonces", json={"level": "UPDATE"})["id"]
    one.result("POST", "/configs", json={"name": "key", "value": "1", "actors": actor})
    grant(one, f"/{actor}", "UPDATE", WORLD)
    execution = one.run(actor, {"print": "hello"})["id"]
    worker = one.result("GET", f"/{actor}/workers")[0]["id"]
    with tenants.client("root", ("Internal/abaco-admin",), "TACC") as admin:
        for client in (other, admin):
            for request_ in OF_ACTORS:
                reply = request_.send(client, actor)
                assert reply.status_code == 404, request_
            for path in (
                f"/{actor}/executions/{execution}/logs",
                f"/{actor}/workers/{worker}",
                f"/{actor}/nonces/{nonce}",
                "/configs/key",
            ):
                assert client.get(path).status_code == 404, path
            assert client.result("GET", "/configs") == []
            for kind in ("actors", "executions", "workers", "logs"):
                found = client.result("GET", f"/search/{kind}", params={"search": actor})
                assert found["search"] == []


def test_a_nonce_is_of_its_tenant(one: Client, other: Client, tenants: RunningGateway) -> None:
    mine, theirs = one.actor(), other.actor()
    for client, actor in ((one, mine), (other, theirs)):
        client.result("POST", "/aliases", json={"alias": "shared", "actorId": actor})
    nonce = one.result("POST", "/aliases/shared/nonces")["id"]
    assert nonce.startswith("SD2E_")
    with Client(tenants.url) as holder:
        shown = holder.result("GET", "/shared", params={"x-nonce": nonce})
        forged = nonce.replace("SD2E", "TACC")
        message = "Nonce does not exist."
        assert holder.refusal("GET", "/shared", params={"x-nonce": forged}) == message
    assert shown["id"] == mine


def test_links_have_the_url_of_the_tenant(one: Client, other: Client) -> None:
    for client, server in ((one, "http://one.example.org"), (other, "http://127.0.0.1:")):
        actor = client.actor()
        link = client.result("GET", f"/{actor}")["_links"]["self"]
        assert link.startswith(server)
        told = client.ask(actor, {"tell": ["environment"]}).json()["environment"]
        assert told["_abaco_api_server"].startswith(server)
