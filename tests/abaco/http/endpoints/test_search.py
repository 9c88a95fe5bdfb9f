from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import pytest

from tests.abaco.running import NOWHERE, Client, eventually

ALONE = True
"""What is found are its actors."""
DESCRIBED: tuple[dict[str, Any], ...] = (
    {"name": "alpha", "description": "makes tacos al pastor", "logEx": 100, "hints": ["a", "b"]},
    {"name": "beta", "description": "Makes Burritos", "logEx": 200, "stateless": False},
    {"name": "gamma", "description": "washes up", "logEx": 300, "token": True},
    {"description": "nameless, äöü"},
)
ALL: set[str | None] = {"alpha", "beta", "gamma", None}


def is_settled(client: Client, actor: str) -> bool:
    return bool(client.result("GET", f"/{actor}")["status"] == "ERROR")


@pytest.fixture(scope="module", autouse=True)
def actors(ada: Client) -> dict[str | None, dict[str, Any]]:
    """Actors of ada by their names."""
    made = {}
    for described in DESCRIBED:
        actor = ada.actor(NOWHERE, **described)
        eventually(partial(is_settled, ada, actor))
        if not described.get("stateless", True):
            state = {"sauce": {"heat": 3, "name": "Salsa"}, "half": "\ud800"}
            ada.result("POST", f"/{actor}/state", content=json.dumps(state))
        made[described.get("name")] = ada.result("GET", f"/{actor}")
    return made


@pytest.fixture(scope="module")
def cook(ada: Client, actors: object) -> str:
    """An actor that has run two messages."""
    actor = ada.actor("cold", name="cook")
    ada.run(actor, {"print": "tacos are ready", "exit": 0})
    ada.run(actor, {"print": "burned", "exit": 3})
    return actor


@pytest.fixture(scope="module")
def victim(ada: Client) -> str:
    """An actor over whose description a bad pattern would take forever."""
    body = {"image": "victim", "description": "a" * 20_000 + "x" * 20_000 + "!"}
    return str(ada.result("POST", "", json=body)["id"])


def found(client: Client, **parameters: Any) -> set[str | None]:
    """Return the names of the actors that a search finds, but for those that are executed."""
    records = client.result("GET", "", params={"image": NOWHERE, **parameters})["search"]
    return {record["name"] for record in records}


def test_a_parameter_makes_a_search_of_a_list(ada: Client) -> None:
    reply = ada.get("", params={"limit": 2, "skip": 1, "image": NOWHERE})
    assert reply.json()["message"] == "Actors search completed successfully."
    result = reply.json()["result"]
    assert result["_metadata"] == {
        "totalCount": 4,
        "recordsSkipped": 1,
        "recordLimit": 2,
        "countReturned": 2,
    }
    assert [record["name"] for record in result["search"]] == ["beta", "gamma"]
    assert isinstance(ada.result("GET", "", params={"x-nonce": "SD2E_x"}), list)


def test_a_record_has_also_what_is_missing_but_nothing_internal(
    ada: Client, actors: dict[str | None, dict[str, Any]]
) -> None:
    [record] = ada.result("GET", "", params={"id": actors[None]["id"]})["search"]
    shown = dict(actors[None])
    assert {name: value for name, value in record.items() if value is not None} == shown
    missing = {name for name, value in record.items() if value is None}
    assert missing == {
        *("name", "maxWorkers", "memLimit", "maxCpus", "logEx"),
        *("cronSchedule", "cronNextEx", "uid", "gid", "tasdir"),
    }


def test_the_environment_of_an_actor_is_for_those_who_may_change_it(
    ada: Client, bob: Client
) -> None:
    actor = ada.actor("cold", name="spicy", defaultEnvironment={"SPICE": "jalapeño"})
    ada.result("POST", f"/{actor}/permissions", json={"user": "bob", "level": "EXECUTE"})
    for client, value in ((ada, "jalapeño"), (bob, "***")):
        (record,) = client.result("GET", "", params={"name": "spicy"})["search"]
        assert record["defaultEnvironment"] == {"SPICE": value}
        for parameters in (
            {"defaultEnvironment.SPICE": "jalapeño"},
            {"default_environment.SPICE.like": "."},
            {"search": "jalapeño"},
        ):
            found = client.result("GET", "", params=parameters)
            assert found["_metadata"]["totalCount"] == 0, parameters
    ada.result("DELETE", f"/{actor}")


def test_a_record_has_the_links_that_it_has_elsewhere(ada: Client, cook: str) -> None:
    (actor,) = ada.result("GET", "/search/actors", params={"id": cook})["search"]
    assert actor["_links"] == ada.result("GET", f"/{cook}")["_links"]
    executions = f"/{cook}/executions"
    for parameters in ({"limit": "1"}, {"exitCode": "0"}):
        (execution,) = ada.result("GET", executions, params=parameters)["search"]
        one = f"{executions}/{execution['id']}"
        assert execution["_links"] == ada.result("GET", one)["_links"]
    (log,) = ada.result("GET", "/search/logs", params={"search": "tacos"})["search"]
    assert log["_links"] == ada.result("GET", f"{one}/logs")["_links"]
    for worker in ada.result("GET", "/search/workers", params={"actorId": cook})["search"]:
        assert worker["_links"]["self"].endswith(f"/{cook}/workers/{worker['id']}")
        assert worker["_links"]["owner"] == actor["_links"]["owner"]


def test_a_time_within_a_field_is_a_time(ada: Client, cook: str) -> None:
    first = ada.result("GET", f"/{cook}/executions", params={"limit": "1"})["search"][0]
    started, ended = (first["finalState"][name] for name in ("StartedAt", "FinishedAt"))
    for parameters, ids in (
        ({"final_state.StartedAt.gt": "2000"}, 2),
        ({"finalState.FinishedAt.lt": "2000-05-01T"}, 0),
        ({"final_state.StartedAt": started}, 1),
        ({"final_state.StartedAt.gt": ended.replace("Z", "+00:00")}, 1),
        ({"final_state.StartedAt.between": f"2000-05,{started}"}, 1),
        ({"final_state.ExitCode.gte": "3"}, 1),
    ):
        found = ada.result("GET", f"/{cook}/executions", params=parameters)
        assert found["_metadata"]["totalCount"] == ids, parameters


FOUND: tuple[tuple[dict[str, Any], set[str | None]], ...] = (
    ({}, ALL),
    ({"name": "alpha"}, {"alpha"}),
    ({"name.eq": "alpha"}, {"alpha"}),
    ({"name": "ALPHA"}, set()),
    ({"name": "none"}, {None}),
    ({"name.neq": "alpha"}, ALL - {"alpha"}),
    ({"logEx": "200"}, {"beta"}),
    ({"logEx.neq": "200"}, ALL - {"beta"}),
    ({"logEx.lt": "200"}, {"alpha"}),
    ({"logEx.lte": "200"}, {"alpha", "beta"}),
    ({"logEx.gt": "200"}, {"gamma"}),
    ({"logEx.gte": "200.0"}, {"beta", "gamma"}),
    ({"logEx.between": "150,250"}, {"beta"}),
    ({"logEx.between": "100,200"}, {"alpha", "beta"}),
    ({"logEx.in": "[100, 300]"}, {"alpha", "gamma"}),
    ({"logEx.nin": "[100, 300]"}, {"beta", None}),
    ({"name.in": '["alpha", "gamma", "other"]'}, {"alpha", "gamma"}),
    ({"name.nin": '["alpha"]'}, ALL - {"alpha"}),
    ({"name.like": "^.{4,5}$"}, {"alpha", "beta", "gamma"}),
    ({"name.like": "a$"}, {"alpha", "beta", "gamma"}),
    ({"name.nlike": "^a"}, ALL - {"alpha"}),
    ({"description.like": "(?i)^MAKES"}, {"alpha", "beta"}),
    ({"stateless": "false"}, {"beta"}),
    ({"stateless": "TRUE"}, ALL - {"beta"}),
    ({"token": "true"}, {"gamma"}),
    ({"hints": '["a", "b"]'}, {"alpha"}),
    ({"state.sauce.heat": "3"}, {"beta"}),
    ({"state.sauce.heat.gt": "2"}, {"beta"}),
    ({"state.sauce.name.like": "^Sal"}, {"beta"}),
    ({"state.sauce": '{"heat": 3, "name": "Salsa"}'}, {"beta"}),
    ({"state.half.like": "."}, {"beta"}),
    ({"state.nothing.at.all": "none"}, ALL),
    ({"createTime.gt": "2020-01-01"}, ALL),
    ({"createTime.lt": "2020-01-01T00:00:00Z"}, set()),
    ({"createTime.between": "2020-01-01,2999-01-01"}, ALL),
    ({"createTime.gt": "2020-01-01T00:00:00+05:00"}, ALL),
    ({"createTime.gt": "2000"}, ALL),
    ({"createTime.lt": "2000-05"}, set()),
    ({"createTime.gt": "2000-05-01T"}, ALL),
    ({"createTime.gte": "2000-05-01T14-06:00"}, ALL),
    ({"createTime.gte": "2000-05-01T14:44:50.1 02:00"}, ALL),
    ({"createTime.between": "2000-05-01T14:44+00:00,9999-12-31"}, ALL),
    ({"createTime.in": '["2000", "2001-01"]'}, set()),
    ({"createTime.nin": '["2000", "2001-01"]'}, ALL),
    ({"createTime.like": "^2[0-9]{3}-.*Z$"}, ALL),
    ({"cronNextEx": "none"}, ALL),
    ({"cronNextEx.gt": "2000"}, set()),
    ({"name.gt": "2000"}, {"alpha", "beta", "gamma"}),
    ({"createTime.lt": "9999-12-31T23:59:59-23:59"}, ALL),
    ({"createTime.gt": "0001-01-01T00:00:00+23:59"}, ALL),
    ({"search": "tacos burritos"}, {"alpha", "beta"}),
    ({"search": "PASTOR"}, {"alpha"}),
    ({"search": "äöü"}, {None}),
    ({"search": "nowhere-to-be-found"}, set()),
    ({"exactsearch": "tacos al pastor"}, {"alpha"}),
    ({"exactsearch": "tacos pastor"}, set()),
    ({"search": "makes", "exactsearch": "tacos"}, {"alpha"}),
    ({"logEx.gt": "100", "stateless": "true"}, {"gamma"}),
    ({"logEx": ["100", "200"]}, set()),
    ({"tenant": "SD2E"}, set()),
    ({"unheard.of": "1"}, set()),
)


@pytest.mark.parametrize(
    ("parameters", "expected"), FOUND, ids=[str(parameters) for parameters, _ in FOUND]
)
def test_what_a_search_finds(
    ada: Client, parameters: dict[str, Any], expected: set[str | None]
) -> None:
    assert found(ada, **parameters) == expected


def test_a_time_is_searched_as_it_is_shown(
    ada: Client, actors: dict[str | None, dict[str, Any]]
) -> None:
    made = actors["beta"]["createTime"]
    for operator in ("", ".eq", ".lte", ".gte", ".between"):
        value = f"{made},{made}" if operator == ".between" else made
        assert "beta" in found(ada, **{f"createTime{operator}": value})
    # the beginning of a time stands for all that begin so
    for characters in (4, 7, 10, 11, 13, 16, 19, 21):
        assert "beta" in found(ada, createTime=made[:characters])
        assert "beta" not in found(ada, **{"createTime.neq": made[:characters]})
    assert "beta" not in found(ada, **{"createTime.gt": made})


def test_only_what_one_has_a_permission_for_is_found(
    ada: Client, bob: Client, admin: Client, actors: dict[str | None, dict[str, Any]]
) -> None:
    for name, user, level in (
        ("alpha", "bob", "READ"),
        ("beta", "bob", "NONE"),
        ("gamma", "ABACO_WORLD", "READ"),
    ):
        path = f"/{actors[name]['id']}/permissions"
        ada.result("POST", path, json={"user": user, "level": level})
    assert found(bob) == {"alpha", "gamma"}
    assert found(admin) == {"gamma"}
    counted = bob.result("GET", "/search/actors", params={"image": NOWHERE, "limit": 0})
    assert counted["_metadata"]["totalCount"] == 2
    assert counted["search"] == []


@pytest.mark.parametrize(
    ("path", "parameters", "message", "values"),
    [
        ("/search/actors", {"name": "cook"}, "Actors", ("name", ["cook"])),
        ("/search/executions", {"exitCode.gt": "0"}, "Executions", ("exitCode", [3])),
        ("/search/executions", {"status": "COMPLETE"}, "Executions", ("exitCode", [0, 3])),
        ("/search/workers", {"status": "READY"}, "Workers", ("image", ["cold"])),
        ("/search/logs", {"search": "tacos"}, "Log", ("logs", ["tacos are ready\n"])),
        ("/search/logs", {"logs.like": "^burn"}, "Log", ("logs", ["burned\n"])),
        ("/{}/executions", {"exitCode": "3"}, "Executions", ("exitCode", [3])),
        ("/{}/executions", {"limit": "1"}, "Executions", ("exitCode", [0])),
        ("/{}/workers", {"status": "READY"}, "Workers", ("image", ["cold"])),
    ],
    ids=str,
)
def test_what_is_searched(
    ada: Client,
    bob: Client,
    cook: str,
    path: str,
    parameters: dict[str, str],
    message: str,
    values: tuple[str, list[Any]],
) -> None:
    eventually(lambda: ada.result("GET", f"/{cook}/workers")[0]["status"] == "READY")
    reply = ada.get(path.format(cook), params=parameters)
    assert reply.json()["message"] == f"{message} search completed successfully."
    name, expected = values
    assert [record[name] for record in reply.json()["result"]["search"]] == expected
    assert "tenant" not in reply.text
    others = bob.get(path.format(cook), params=parameters)
    assert not others.is_success or others.json()["result"]["search"] == []


def test_an_alias_of_an_actor_is_searched_below_too(ada: Client, cook: str) -> None:
    ada.result("POST", "/aliases", json={"alias": "chef", "actorId": cook})
    by_alias = ada.result("GET", "/chef/executions", params={"exitCode": "3"})
    assert by_alias == ada.result("GET", f"/{cook}/executions", params={"exitCode": "3"})


def test_no_answer_is_larger_than_some_megabytes(bob: Client) -> None:
    actor = bob.actor("warm")
    for _ in range(3):
        # four bytes each, and twelve in JSON
        bob.run(actor, {"print": "\N{TACO}" * 400_000})
    reply = bob.get("/search/logs")
    found = reply.json()["result"]
    assert found["_metadata"]["totalCount"] == 3
    assert found["_metadata"]["countReturned"] == len(found["search"]) == 2
    assert reply.json()["message"].endswith(" For their size, 2 are returned: go on with skip=2.")
    (last,) = bob.result("GET", "/search/logs", params={"skip": "2"})["search"]
    assert last["logs"].startswith("\N{TACO}")


def test_many_records_are_returned_up_to_a_limit(ada: Client) -> None:
    for limit, shown in (("1", 1), ("010", 10), ("999999", 10_000)):
        metadata = ada.result("GET", "", params={"limit": limit})["_metadata"]
        assert metadata["recordLimit"] == shown


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"limit": "-1"}, "limit must be a number from 0 on, not '-1'."),
        ({"limit": "many"}, "limit must be a number from 0 on, not 'many'."),
        ({"limit": ""}, "limit must be a number from 0 on, not ''."),
        ({"skip": "9" * 5000}, "skip must be a number from 0 on, not '999"),
        ({"skip": "٣"}, "skip must be a number from 0 on, not '٣'."),
        ({"name.in": "alpha"}, "in and nin need a JSON list, not 'alpha'."),
        ({"name.nin": '{"a": 1}'}, "in and nin need a JSON list, not '{\"a\": 1}'."),
        ({"name.in": "[" * 5000}, "in and nin need a JSON list, not '[[["),
        ({"logEx": "soon"}, "logEx needs a number, not 'soon'."),
        ({"logEx.lt": "1e999"}, "logEx needs a number, not '1e999'."),
        ({"logEx.gt": "nan"}, "logEx needs a number, not 'nan'."),
        ({"logEx.gt": "none"}, "logEx needs a number, not 'none'."),
        ({"logEx": "9" * 5000}, "logEx needs a number, not '999"),
        ({"logEx.in": '[1, "two"]'}, "logEx needs a number, not 'two'."),
        ({"logEx.between": "1,many"}, "logEx needs a number, not 'many'."),
        ({"stateless": "perhaps"}, "stateless needs true or false, not 'perhaps'."),
        ({"createTime.gt": "soon"}, "createTime needs a time, such as 2026-05 or 2026-05-01T14:44"),
        ({"create_time": "2000-13"}, "create_time needs a time, such as"),
        ({"createTime.lte": "20"}, "createTime needs a time, such as"),
        ({"createTime.between": "2000,"}, "createTime needs a time, such as"),
        ({"createTime.nin": "[2000.5]"}, "createTime needs a time, such as"),
        ({"logEx.between": "1"}, "between needs two values with a comma, not '1'."),
        ({"name.like": "("}, "like and nlike need a regular expression, not '('."),
        ({"name.nlike": "*"}, "like and nlike need a regular expression, not '*'."),
        ({"name.like": "((a{100}){100}){100}"}, "like and nlike need a regular expression, not"),
        ({"name.like": "a" * 1001}, "A regular expression has at most 1000 characters."),
        ({"name.like": r"(a)\1"}, "like and nlike need a regular expression, not"),
        ({"search": ""}, "search needs words, not ''."),
        ({"exactsearch": " "}, "exactsearch needs a phrase, not ' '."),
        ({"search": " ".join(map(str, range(101)))}, "A search has at most 100 conditions and wor"),
        ({f"name{n}": "1" for n in range(101)}, "A search has at most 100 conditions and words."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_searched(ada: Client, parameters: dict[str, str], message: str) -> None:
    assert ada.refusal("GET", "", params=parameters).startswith(message)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/search/executions", "final_state.StartedAt.gt"),
        ("/search/executions", "messageReceivedTime.lt"),
        ("/search/executions", "final_state.ExitCode"),
        ("/search/executions", "finalState.OOMKilled"),
        ("/search/workers", "createTime"),
        ("/{}/executions", "exitCode.gt"),
    ],
)
def test_each_kind_of_record_says_what_its_field_needs(
    ada: Client, cook: str, path: str, field: str
) -> None:
    refusal = ada.refusal("GET", path.format(cook), params={field: "soon"})
    assert re.fullmatch(r"[\w.]+ needs (a time|a number|true or false).*, not 'soon'\.", refusal)


@pytest.mark.parametrize(
    "parameters",
    [
        {"description.like": "(a+)+$"},
        {"description.like": "(x+x+)+y"},
        {"description.like": ".*.*.*.*.*.*.*.*!" * 20},
        {"limit": "0" * 5000},
        {"state": "[" * 5000},
        {"state": "[" * 500 + "]" * 500},
        {"name.eq.eq.eq": "alpha"},
        {".": "1", "..like": ".", "": "1"},
        {"__class__": "1", "name.__class__.__name__": "str"},
        {"name": "' OR 1=1 --", "id.in": '["\\u0000", "\\ud800"]'},
        {f"description{'.' * n}like": "a" for n in range(90)},
        {"search": "\1 \N{GRINNING FACE}", "exactsearch": "x" * 20_000},
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_hostile_search_is_answered_in_time(
    ada: Client, victim: str, parameters: dict[str, str]
) -> None:
    reply = ada.get("", params=parameters)
    assert reply.status_code == 200, reply.text


def test_what_the_mailbox_knows_of_a_message_is_not_found(ada: Client, cook: str) -> None:
    everything, mine = (
        ada.result("GET", "/search/executions", params={"actorId": cook, **more})["search"]
        for more in ({}, {"sender": "ada"})
    )
    assert len(everything) == 2
    assert mine == []
    hidden = {"sender", "ordering", "tries", "due", "reason", "fence", "holder", "lease", "rung"}
    assert not hidden.intersection(*everything)
