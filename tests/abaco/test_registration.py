"""Who may register actors of an image, and what they may give them: every way in is tried."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, cast

import pytest
import yaml

from abaco.roles import PRIVILEGED
from abaco.store import registrations
from abaco.store.database import Database
from abaco.store.rows import Actor
from tests.abaco.running import ADMIN, EVERYONE, NOWHERE, PROBE, Client, RunningGateway, eventually

FOR_ADMINS = "only administrators may register actors of the image {}."
GUARDED = {"protected": ["KEY_*", "lowly"], "variables": ["KEY_*", "PLACE"]}
IMAGES: dict[str, Any] = {
    **PROBE,
    # as the image of the manager
    "kept": {**PROBE["cold"], "register": {"roles": [ADMIN]}, **GUARDED},
    "shared": {
        **PROBE["cold"],
        "register": {"roles": [PRIVILEGED], "users": ["bob", "eve"]},
        **GUARDED,
    },
    "guarded": {**PROBE["cold"], "register": {"roles": [EVERYONE]}, **GUARDED},
}
IMAGES["cold"] = {**PROBE["cold"], "register": {"roles": [EVERYONE]}}
SHARED = (
    "only administrators and users with the role Internal/abaco-privileged and the users bob, eve "
    "may register actors of the image shared."
)


def write(gateway: RunningGateway, **changed: Any) -> None:
    """Write the images as they are above, but for some; of `silent`, nothing says who may."""
    images = {**IMAGES, "silent": PROBE["cold"], **changed}
    (gateway.folder / "images.yml").write_text(yaml.safe_dump(images))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path_factory.mktemp("gateway"))
    write(running)
    with running:
        yield running


@pytest.fixture(autouse=True)
def _as_they_were(gateway: RunningGateway) -> Iterator[None]:
    yield
    write(gateway)


def status(client: Client, actor: str) -> tuple[str, str]:
    """The status of an actor, and what is said of it."""
    shown = client.result("GET", f"/{actor}")
    return shown["status"], shown["statusMessage"]


def in_error(client: Client, actor: str) -> bool:
    """Whether an actor has the status ERROR."""
    return status(client, actor)[0] == "ERROR"


def lend(client: Client, actor: str, user: str = "ada") -> str:
    """Let a user change an actor."""
    client.result("POST", f"/{actor}/permissions", json={"user": user, "level": "UPDATE"})
    return actor


# Creating


@pytest.mark.parametrize("image", ["kept", "silent"])
def test_an_image_is_for_administrators_where_nothing_else_is_said(
    ada: Client, admin: Client, image: str
) -> None:
    message = ada.refusal("POST", "", json={"image": image})
    assert message == f"Not authorized -- {FOR_ADMINS.format(image)}"
    assert admin.actor(image)


@pytest.mark.parametrize(
    ("user", "roles", "admitted"),
    [
        ("bob", (EVERYONE,), True),
        ("ada", (EVERYONE, PRIVILEGED), True),
        ("root", (ADMIN,), True),
        ("ada", (EVERYONE,), False),
        ("Bob", (EVERYONE,), False),
    ],
)
def test_an_image_is_for_the_users_and_roles_that_it_names(
    gateway: RunningGateway, user: str, roles: Sequence[str], *, admitted: bool
) -> None:
    with gateway.client(user, roles) as client:
        if admitted:
            assert client.actor("shared")
        else:
            message = client.refusal("POST", "", json={"image": "shared"})
            assert message == f"Not authorized -- {SHARED}"


# Changing


@pytest.mark.parametrize(
    "change",
    [
        {"image": "kept"},
        {"image": "kept", "defaultEnvironment": {"spice": "much"}},
        {"image": "kept", "force": True},
        {"image": "kept", "cronSchedule": "now + 1 hour", "cronOn": True},
        {"image": "kept", "link": "", "webhook": "http://127.0.0.1:9/"},
        {"image": "cold"},
        {"image": NOWHERE},
    ],
    ids=json.dumps,
)
def test_who_may_change_an_actor_but_not_register_it_changes_nothing_of_how_it_runs(
    ada: Client, admin: Client, change: dict[str, Any]
) -> None:
    actor = lend(admin, admin.actor("kept", defaultEnvironment={"KEY_A": "1"}))
    before = admin.result("GET", f"/{actor}")
    message = ada.refusal("PUT", f"/{actor}", json=change)
    assert message == f"Not authorized -- {FOR_ADMINS.format('kept')}"
    body = {"name": "salsa", "value": "1", "actors": actor}
    assert ada.refusal("POST", "/configs", json=body) == message
    assert admin.result("GET", f"/{actor}") == before


def test_an_actor_of_ones_own_does_not_become_one_of_a_kept_image(
    ada: Client, admin: Client
) -> None:
    actor = ada.actor("cold")
    message = ada.refusal("PUT", f"/{actor}", json={"image": "kept", "force": True})
    assert message == f"Not authorized -- {FOR_ADMINS.format('kept')}"
    assert admin.result("PUT", f"/{actor}", json={"image": "kept"})["image"] == "kept"
    # now it is one, whoever owns it
    assert ada.refusal("PUT", f"/{actor}", json={"image": "cold"}) == message


def test_a_nonce_registers_no_more_than_anybody(admin: Client, stranger: Client) -> None:
    kept, cold = admin.actor("kept"), admin.actor("cold")
    for actor, change, admitted in (
        (kept, {"image": "kept"}, False),
        (cold, {"image": "kept"}, False),
        (cold, {"image": "cold", "defaultEnvironment": {"LD_PRELOAD": "x"}}, False),
        (cold, {"image": "cold"}, True),
    ):
        made = admin.result("POST", f"/{actor}/nonces", json={"level": "UPDATE"})
        reply = stranger.put(f"/{actor}", json=change, params={"x-nonce": made["id"]})
        assert (reply.status_code == 200) == admitted, reply.text


# Variables


@pytest.mark.parametrize(
    "name",
    ["KEY_A", "lowly", "PATH", "LD_PRELOAD", "PYTHONPATH", "_REACTOR_X", "MSG", "http_proxy"],
)
def test_what_decides_how_a_process_runs_is_for_administrators(
    ada: Client, admin: Client, name: str
) -> None:
    actor = ada.actor("guarded")
    wanted = {"image": "guarded", "defaultEnvironment": {"spice": "1", name: "hunter2"}}
    for method, path in (("POST", ""), ("PUT", f"/{actor}")):
        assert ada.refusal(method, path, json=wanted) == (
            f"Not authorized -- only administrators may set the variable '{name}' in the "
            "defaultEnvironment of an actor of the image guarded."
        )
    admin.result("PUT", f"/{actor}", json=wanted)


def test_what_an_image_lists_and_ordinary_names_are_for_everybody(ada: Client) -> None:
    given = {"PLACE": "here", "spice": "much", "x-y": "1"}
    actor = ada.actor("guarded", defaultEnvironment=given)
    told = ada.ask(actor, {"tell": ["environment"]}).json()["environment"]
    assert given.items() <= told.items()


def test_a_protected_variable_does_not_come_as_a_config(ada: Client, admin: Client) -> None:
    actor = ada.actor("guarded")
    ada.result("POST", "/aliases", json={"alias": "guard", "actorId": actor})
    for client in (ada, admin):
        for named in (actor, "guard"):
            body = {"name": "KEY_A", "value": "hunter2", "actors": named}
            assert client.refusal("POST", "/configs", json=body) == (
                "Not authorized -- the image guarded protects the variable KEY_A: only "
                "administrators may set it, in an actor's defaultEnvironment."
            )


def test_a_protected_variable_does_not_come_by_an_alias_that_is_moved(ada: Client) -> None:
    ada.result("POST", "/aliases", json={"alias": "moving", "actorId": ada.actor("cold")})
    for name in ("KEY_B", "salsa"):
        ada.result("POST", "/configs", json={"name": name, "value": "1", "actors": "moving"})
    actor = ada.actor("guarded")
    ada.result("PUT", "/aliases/moving", json={"actorId": actor})
    told = ada.ask(actor, {"tell": ["environment"]}).json()["environment"]
    assert ast.literal_eval(told["_actor_configs"]) == {"salsa": "1"}


# Images that change


def test_a_parameter_that_waited_does_not_reach_an_image_that_protects_it(
    gateway: RunningGateway, admin: Client
) -> None:
    actor = admin.actor("cold")
    orders = {"wait for": str(gateway.folder / "gate")}
    first = admin.submit(actor, orders)
    query = {"lowly": "1", "spice": "much"}
    waiting = admin.submit(actor, {"tell": ["environment"]}, params=query)
    admin.result("PUT", f"/{actor}", json={"image": "guarded"})
    (gateway.folder / "gate").touch()
    assert admin.ended(actor, first)["exitCode"] == admin.ended(actor, waiting)["exitCode"] == 0
    told = json.loads(admin.result_of(actor, waiting))["environment"]
    assert {name for name in query if name in told} == {"spice"}


def test_an_image_that_is_added_later_admits_only_whom_it_names(
    gateway: RunningGateway, ada: Client, admin: Client
) -> None:
    def register(client: Client, **variables: str) -> str:
        body = {"image": "later", "defaultEnvironment": variables}
        return str(client.result("POST", "", json=body)["id"])

    hers, armed, theirs = register(ada), register(ada, KEY_A="1"), register(admin, KEY_A="1")
    for actor in (hers, armed, theirs):
        eventually(partial(in_error, admin, actor))
    write(gateway, later=IMAGES["kept"])
    waiting = ada.submit(hers, {})
    assert admin.run(theirs, {})["exitCode"] == 0
    refused = f"{FOR_ADMINS.format('later')} Let one of them update the actor."
    eventually(lambda: status(ada, hers) == ("ERROR", refused))
    assert ada.result("GET", f"/{hers}/executions/{waiting}")["status"] == "SUBMITTED"
    write(gateway, later=IMAGES["guarded"])
    for actor in (hers, armed):
        ada.submit(actor, {})
    assert ada.ended(hers, waiting)["exitCode"] == 0
    eventually(lambda: "the variable 'KEY_A'" in status(ada, armed)[1])
    assert status(ada, armed)[0] == "ERROR"


def test_an_image_that_is_closed_ends_the_workers_of_those_it_no_longer_admits(
    gateway: RunningGateway, ada: Client, admin: Client
) -> None:
    hers, theirs = ada.actor("guarded"), admin.actor("guarded")
    write(gateway, guarded=IMAGES["kept"])
    refused = f"{FOR_ADMINS.format('guarded')} Let one of them update the actor."
    eventually(lambda: status(ada, hers) == ("ERROR", refused))
    eventually(lambda: ada.result("GET", f"/{hers}/workers") == [])
    assert admin.run(theirs, {})["exitCode"] == 0
    # an administrator takes it over
    admin.result("PUT", f"/{hers}", json={"image": "guarded", "force": True})
    eventually(lambda: status(ada, hers)[0] == "READY")


@pytest.mark.long
def test_an_actor_of_an_earlier_gateway_is_its_owners_as_one_of_everybody(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    gateway = RunningGateway(tmp_path_factory.mktemp("earlier"), IMAGES).start()
    with gateway.client("ada") as ada, gateway.admin() as admin:
        hers, theirs = ada.actor("guarded"), admin.actor("kept")
    assert gateway.stop() == 0
    database = Database(gateway.settings.database)
    with database.write() as tx:
        # what was kept nowhere then
        for actor in (hers, theirs):
            registrations.forget(tx, "SD2E", actor)
    database.close()
    with gateway, gateway.client("ada") as ada, gateway.admin() as admin:
        assert ada.run(hers, {})["exitCode"] == 0
        assert status(admin, theirs)[0] == "ERROR"
        admin.result("PUT", f"/{theirs}", json={"image": "kept"})
        eventually(lambda: status(admin, theirs)[0] == "READY")


def test_nothing_is_left_of_an_actor_that_is_deleted(gateway: RunningGateway, ada: Client) -> None:
    actor = ada.actor("cold")
    ada.result("DELETE", f"/{actor}")
    database = Database(gateway.settings.database)
    with database.read() as tx:
        found = registrations.of(
            tx, cast("Actor", {"tenant": "SD2E", "id": actor, "owner": "nobody"})
        )
    database.close()
    assert found.user == "nobody"
