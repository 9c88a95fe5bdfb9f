from __future__ import annotations

import re
from typing import Any

import pytest

from abaco.http.envelope import VERSION
from tests.abaco.running import NOWHERE, Client, RunningGateway

MISSING = "oNQRbZyZyb73z"
"""An identifier of nothing."""
TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z"
NO_ENDPOINT = (
    "Invalid request: the API endpoint does not exist or the provided HTTP method is not allowed."
)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def actor(ada: Client) -> str:
    return ada.actor(stateless=False)


def test_a_reply_has_an_envelope(ada: Client, actor: str) -> None:
    reply = ada.get(f"/{actor}")
    assert reply.headers["content-type"] == "application/json"
    content = reply.json()
    assert sorted(content) == ["message", "result", "status", "version"]
    assert content["message"] == "Actor retrieved successfully."
    assert content["status"] == "success"
    assert content["version"] == VERSION
    assert content["result"]["id"] == actor


def test_a_refusal_has_an_envelope(ada: Client) -> None:
    reply = ada.get("/nowhere")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {
        "message": "Actor with identifier 'nowhere' not found",
        "result": None,
        "status": "error",
        "version": VERSION,
    }


def test_links_lead_to_what_they_name(ada: Client, gateway: RunningGateway, actor: str) -> None:
    shown = ada.result("GET", f"/{actor}")
    assert shown["_links"] == {
        "self": f"{gateway.url}/actors/v2/{actor}",
        "owner": f"{gateway.url}/profiles/v2/ada",
        "executions": f"{gateway.url}/actors/v2/{actor}/executions",
    }
    for link in shown["_links"].values():
        assert ada.get(link).status_code == 200
    assert ada.result("GET", shown["_links"]["self"]) == shown


def test_a_link_holds_names_that_a_url_must_not(ada: Client, actor: str) -> None:
    alias = ada.result(
        "POST",
        "/aliases",
        json={"alias": "50%größe<1>", "actorId": actor},
    )
    assert alias["_links"]["self"].endswith("/aliases/50%25gr%C3%B6%C3%9Fe%3C1%3E")
    assert ada.result("GET", alias["_links"]["self"]) == alias


def test_an_attribute_without_a_value_is_left_out_and_times_are_in_utc(
    ada: Client, actor: str
) -> None:
    shown = ada.result("GET", f"/{actor}")
    assert None not in shown.values()
    assert not {"name", "maxWorkers", "logEx", "cronSchedule"} & set(shown)
    assert re.fullmatch(TIME, shown["createTime"])
    assert re.fullmatch(TIME, shown["lastUpdateTime"])


@pytest.mark.parametrize(
    "path",
    [
        "/actors",
        "/actors/",
        "/actors/v2",
        "/actors/v2/",
        "//actors",
        "/actors//v2//",
        "//actors/v2",
        "/actors/v2?",
        "/actors?",
    ],
)
def test_the_api_has_two_base_paths_and_slashes_do_not_count(
    ada: Client, gateway: RunningGateway, actor: str, path: str
) -> None:
    found = ada.result("GET", gateway.url + path)
    assert actor in [each["id"] for each in found]


@pytest.mark.parametrize(
    "path", ["/actors/{}", "/actors/{}/", "/actors/v2/{}/", "//actors//v2//{}//", "/actors/v2/{}?"]
)
def test_an_actor_is_found_below_each_base_path(
    ada: Client, gateway: RunningGateway, actor: str, path: str
) -> None:
    assert ada.result("GET", gateway.url + path.format(actor))["id"] == actor
    sent = ada.post(
        gateway.url + path.format(actor).rstrip("/?") + "/messages/?", json={"print": ""}
    )
    assert sent.status_code == 200


def test_pages_from_anywhere_may_read_every_reply(
    ada: Client, stranger: Client, gateway: RunningGateway, actor: str
) -> None:
    replies = [
        ada.get(f"/{actor}"),
        ada.get("/nowhere"),
        ada.post("", json={}),
        ada.patch(""),
        ada.get(f"{gateway.url}/elsewhere"),
        stranger.get("", headers={"Authorization": "Bearer wrong"}),
        stranger.get(f"{gateway.url}/healthz"),
    ]
    assert [reply.status_code for reply in replies] == [200, 404, 400, 405, 404, 401, 200]
    assert {reply.headers["access-control-allow-origin"] for reply in replies} == {"*"}


@pytest.mark.parametrize("path", ["/actors/v2", "/actors/X/messages", "/token", "/elsewhere"])
def test_a_browser_may_ask_before_it_sends(
    stranger: Client, gateway: RunningGateway, path: str
) -> None:
    asked = {
        "Origin": "https://example.org",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    reply = stranger.options(gateway.url + path, headers=asked)
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["access-control-allow-origin"] == "*"
    allowed = reply.headers["access-control-allow-methods"]
    assert set(allowed.split(", ")) >= {"GET", "POST", "PUT", "DELETE"}
    allowed = reply.headers["access-control-allow-headers"].lower()
    assert set(allowed.split(", ")) >= {"authorization", "content-type"}


def test_head_answers_as_get_without_a_body(ada: Client, actor: str) -> None:
    whole, head = ada.get(f"/{actor}"), ada.head(f"/{actor}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert ada.head("/nowhere").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "", "GET, POST"),
        ("DELETE", "", "GET, POST"),
        ("POST", "/X", "DELETE, GET, PUT"),
        ("PATCH", "/X", "DELETE, GET, PUT"),
        ("PUT", "/X/messages", "DELETE, GET, POST"),
        ("POST", "/X/executions/Y", "DELETE, GET"),
        ("PUT", "/X/nonces", "GET, POST"),
        ("PUT", "/aliases", "GET, POST"),
        ("POST", "/aliases/a", "DELETE, GET, PUT"),
        ("POST", "/utilization", "GET"),
        ("POST", "/search/actors", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_have(
    stranger: Client, method: str, path: str, allowed: str
) -> None:
    assert stranger.refusal(method, path, 405) == NO_ENDPOINT
    assert stranger.request(method, path).headers["allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/", "/v3/actors", "/actors/v2/X/nothing", "/actors/X/messages/Y", "/profiles/v2"]
)
def test_a_path_that_does_not_exist(stranger: Client, gateway: RunningGateway, path: str) -> None:
    assert stranger.refusal("GET", gateway.url + path, 404) == NO_ENDPOINT


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/nowhere", 404, "Actor with identifier 'nowhere' not found"),
        ("/%00", 404, "Actor with identifier '\0' not found"),
        ("/%FF", 404, "Actor with identifier '\N{REPLACEMENT CHARACTER}' not found"),
        (f"/{MISSING}", 404, f"No actor found with identifier: {MISSING}."),
        (f"/{MISSING}/nonces", 404, f"No actor found with identifier: {MISSING}."),
        ("/{actor}/nonces/X", 400, "Nonce not found."),
        ("/{actor}/workers/X", 404, "Worker not found."),
        (
            "/{actor}/executions/X",
            400,
            "No executions found with actor id of {actor} and execution id of X.",
        ),
        ("/configs/nothing", 404, "No config found: nothing."),
        ("/search/nothing", 404, "There is no search for nothing: "),
    ],
)
def test_what_is_not_found(ada: Client, actor: str, path: str, status: int, message: str) -> None:
    refusal = ada.refusal("GET", path.format(actor=actor), status)
    assert refusal.startswith(message.format(actor=actor))


def test_an_alias_that_is_not_found(ada: Client, admin: Client) -> None:
    for method in ("GET", "DELETE"):
        message = "Actor with identifier 'nothing' not found"
        assert ada.refusal(method, "/aliases/nothing", 404) == message
        assert admin.refusal(method, "/aliases/nothing", 404) == "No alias found: nothing."


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/messages"), ("GET", "/executions")],
)
def test_a_deleted_actor_is_not_found(ada: Client, method: str, path: str) -> None:
    gone = ada.actor()
    assert ada.delete(f"/{gone}").json()["result"] is None
    message = f"No actor found with identifier: {gone}."
    assert ada.refusal(method, f"/{gone}{path}", 404, json={"image": "cold"}) == message


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"user": "eve", "level": "READ", "unknown": [1]}},
        {"data": {"user": "eve", "level": "READ"}},
        {"files": {"user": (None, "eve"), "level": (None, "READ")}},
        {"params": {"user": "eve", "level": "READ"}},
        {"json": {"user": "eve"}, "params": {"user": "mallory", "level": "READ"}},
        {"content": b"user=eve", "params": {"user": "eve", "level": "READ"}},
    ],
    ids=["JSON", "form", "multipart", "URL", "JSON wins", "no form"],
)
def test_arguments_come_from_any_body_or_the_url(ada: Client, sent: dict[str, Any]) -> None:
    actor = ada.actor(NOWHERE)
    permissions = ada.result("POST", f"/{actor}/permissions", **sent)
    assert permissions == {"ada": "UPDATE", "eve": "READ"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (True, True),
        ("True", True),
        ("1", True),
        (1, True),
        (False, False),
        ("FALSE", False),
        (0, False),
    ],
)
def test_a_boolean_has_several_spellings(ada: Client, *, given: Any, expected: bool) -> None:
    actor = ada.actor(NOWHERE, stateless=given)
    assert ada.result("GET", f"/{actor}")["stateless"] is expected


@pytest.mark.parametrize(
    ("path", "sent", "message"),
    [
        (
            "",
            {},
            "Invalid actor description: {'image': 'Reference to image on docker hub for this actor.'}",
        ),
        ("", {"image": ["cold"]}, "Invalid actor description: {'image': "),
        ("", {"image": "cold", "stateless": "maybe"}, "Invalid actor description: {'stateless': "),
        ("", {"image": "cold", "logEx": "soon"}, "Invalid actor description: {'logEx': "),
        ("", {"image": "cold", "logEx": True}, "Invalid actor description: {'logEx': "),
        ("", {"image": "cold", "logEx": 10**40}, "Invalid actor description: {'logEx': "),
        (
            "",
            {"image": "cold", "defaultEnvironment": [1]},
            "Invalid actor description: {'defaultEnv",
        ),
        ("/aliases", {"alias": "a"}, "Invalid alias description: {'actorId': "),
        ("/{actor}/nonces", {"maxUses": "many"}, "Invalid nonce description: {'maxUses': "),
        ("/{actor}/permissions", {"user": "eve"}, "Invalid permission description: {'level': "),
    ],
)
def test_an_argument_that_is_missing_or_of_another_kind(
    ada: Client, actor: str, path: str, sent: dict[str, Any], message: str
) -> None:
    assert ada.refusal("POST", path.format(actor=actor), json=sent).startswith(message)


@pytest.mark.parametrize(
    ("path", "sent", "reason"),
    [
        ("", {"image": "cold", "logEx": "soon"}, "logEx must be an integer of at most 10 digits,"),
        ("", {"image": "cold", "stateless": []}, "stateless must be true or false, not a list."),
        ("", {"image": {"a": 1}}, "image must be a string without a NUL, not an object."),
        (
            "",
            {"image": "cold", "defaultEnvironment": 5},
            "defaultEnvironment must be a JSON object, not this number.",
        ),
        (
            "",
            {"image": "cold", "defaultEnvironment": "A=1"},
            "defaultEnvironment: not valid JSON: Expecting value at line 1 column 1, where 'A' is.",
        ),
        ("", {"image": "cold", "hints": "[a"}, "hints must be a string or a list of strings"),
        ("", {"image": "cold", "token": {}}, "token must be true or false."),
        ("", ["cold"], "Invalid actor description: the body must be a JSON object, not a list."),
        ("/{actor}/nonces", 5, "the body must be a JSON object, not a single value."),
        ("/{actor}/permissions", {"user": [], "level": "READ"}, "user must be a string"),
    ],
)
def test_a_wrong_type_in_valid_json_names_the_field(
    ada: Client, actor: str, path: str, sent: Any, reason: str
) -> None:
    message = ada.refusal("POST", path.format(actor=actor), json=sent)
    assert reason in message
    assert not message.startswith("The request body is not valid JSON")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"image":', "Expecting value at line 1 column 10"),
        (b'{"image": "cold", "image": "warm"}', "it has the key 'image' twice in one object"),
        (b'{"image": NaN}', "it has the value NaN, which JSON does not have"),
        (b'{"image": 1e999}', "it has the number 1e999, which is too large"),
        (b'{"image": ' + b"9" * 5000 + b"}", "it has a number of 5,000 digits."),
        (b'{"image": "\xff"}', "it is not UTF-8"),
        (b"[" * 100_000, "it is nested more than 100 levels deep."),
        (b'{"image": ' + b"[" * 200 + b"]" * 200 + b"}", "it is nested more than 100 levels deep."),
    ],
    ids=["cut", "twice", "NaN", "infinite", "long", "bytes", "deep and cut", "deep"],
)
def test_malformed_json_is_refused_at_once(ada: Client, body: bytes, reason: str) -> None:
    message = ada.refusal("POST", "", content=body, headers=JSON)
    assert message.startswith(f"The request body is not valid JSON: {reason}")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[]", "application/json"),
        (b'"image"', "application/json"),
        (b"null", "application/json"),
        (b"", "application/json"),
        (b'{"image": "\\ud800"}', "application/json"),
        (b'{"image": "a\\u0000b"}', "application/json"),
        (b"image=%ff%00", "application/x-www-form-urlencoded"),
        (b"image=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=" % each for each in range(2000)), "application/x-www-form-urlencoded"),
        (b"image", "multipart/form-data"),
        (b"--x\r\n\r\n", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\r\n--x--',
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_a_body_that_describes_nothing_is_refused(ada: Client, body: bytes, kind: str) -> None:
    assert ada.refusal("POST", "", content=body, headers={"Content-Type": kind})


def test_a_url_has_a_thousand_parameters_at_most(ada: Client) -> None:
    message = ada.refusal("GET", "?" + "&".join(f"p{each}=" for each in range(1001)))
    assert message == "The URL has more than 1000 parameters."
