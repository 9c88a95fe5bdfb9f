from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import pytest

from abaco.workers.environment import MAX_BYTES
from tests.abaco.running import Client, RunningGateway, eventually

TEXT, JSON, BINARY = "str", "application/json", "application/octet-stream"
UNREADABLE = "could not be serialized"
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def teller(ada: Client) -> str:
    """An actor that tells its environment."""
    return ada.actor("teller")


def typed(content: str | bytes, kind: str | None) -> dict[str, Any]:
    """A request with a body of a content type."""
    return {"content": content, "headers": {} if kind is None else {"Content-Type": kind}}


def test_a_message_is_run_by_a_process_of_its_own(ada: Client) -> None:
    actor = ada.actor("cold", name="echo")
    execution = ada.run(actor, {"print": "hello", "exit": 3})
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 3)
    assert ada.logs(actor, execution["id"]) == "hello\n"


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"data": {"message": "hello"}}, "hello"),
        ({"data": {"message": "hello", "other": "2"}}, "hello"),
        ({"data": {"message": "tägliche 🌮"}}, "tägliche 🌮"),
        (typed("message=first&message=second", "application/x-www-form-urlencoded"), "first"),
        ({"files": {"message": (None, "hello")}}, "hello"),
        ({"files": {"message": ("hello.txt", "from a file")}}, "from a file"),
        ({"params": {"message": "hello"}}, "hello"),
        ({"params": {"message": "hello"}, "json": {"message": ""}}, "hello"),
        ({"params": {"message": "hello"}, **typed(b"\0", BINARY)}, "hello"),
        ({"params": {"message": "url"}, "json": {"message": "body"}}, "body"),
        ({"json": {"message": {"a": None, "b": True}}}, "{'a': None, 'b': True}"),
        ({"json": {"message": ["first", "second"]}}, "first"),
        ({"json": {"message": 5}}, "5"),
        ({"json": {"message": 0}}, "0"),
        ({"json": {"message": False}}, "False"),
        ({"json": {"message": {}}}, "{}"),
        ({"json": {"message": '{"uuid": null}'}}, '{"uuid": null}'),
    ],
)
def test_a_message_that_has_the_name_message_is_a_text(
    ada: Client, teller: str, request_: dict[str, Any], text: str
) -> None:
    shown, environment = ada.told(teller, **request_)
    assert shown == environment["MSG"] == text
    assert environment["_abaco_Content_Type"] == TEXT


@pytest.mark.parametrize(
    ("body", "shown", "text"),
    [
        ('{"a": null, "b": true}', {"a": None, "b": True}, "{'a': None, 'b': True}"),
        ('{"message": ""}', {"message": ""}, "{'message': ''}"),
        ('{"message": null, "a": 1}', {"message": None, "a": 1}, "{'message': None, 'a': 1}"),
        ('{"a": "it\'s 🌮"}', {"a": "it's 🌮"}, "{'a': \"it's 🌮\"}"),
        ('{"a": "\\u0000\\ud800"}', {"a": "\0\ud800"}, "{'a': '\\x00\\ud800'}"),
        ("[1, [2.5]]", [1, [2.5]], "[1, [2.5]]"),
        ("5", 5, "5"),
        ("true", True, "True"),
        ("false", False, "False"),
        ("0", 0, "0"),
        ("0.0", 0.0, "0.0"),
        ("[]", [], "[]"),
        (' {"a": 1}\n', {"a": 1}, "{'a': 1}"),
    ],
)
def test_json_is_a_message_as_python_writes_it(
    ada: Client, teller: str, body: str, shown: Any, text: str
) -> None:
    told, environment = ada.told(teller, **typed(body, "application/json"))
    assert told == shown
    assert (environment["MSG"], environment["_abaco_Content_Type"]) == (text, JSON)


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("application/json; charset=utf-8", JSON),
        ("Application/JSON", JSON),
        ("application/vnd.api+json", JSON),
        ("text/plain", TEXT),
        ("application/xml", TEXT),
        # what curl sends with -d '{...}'
        ("application/x-www-form-urlencoded", TEXT),
        (None, TEXT),
    ],
)
def test_json_is_a_message_under_any_content_type(
    ada: Client, teller: str, kind: str | None, content_type: str
) -> None:
    shown, environment = ada.told(teller, **typed('{"a":1}', kind))
    assert shown == {"a": 1}
    assert (environment["MSG"], environment["_abaco_Content_Type"]) == ("{'a': 1}", content_type)


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_an_empty_object_is_a_text(ada: Client, teller: str, kind: str) -> None:
    shown, environment = ada.told(teller, **typed("{}", kind))
    assert shown == {}
    assert (environment["MSG"], environment["_abaco_Content_Type"]) == ("{}", TEXT)


def test_a_compressed_body_is_refused(ada: Client, teller: str) -> None:
    for encoding, status in (("gzip", 415), ("br, gzip", 415), ("Identity", 200), ("", 200)):
        request = typed('{"a": 1}', JSON)
        request["headers"]["Content-Encoding"] = encoding
        reply = ada.post(f"/{teller}/messages", **request)
        assert reply.status_code == status
        if status == 415:
            assert reply.json()["message"] == (
                f"The body is compressed (Content-Encoding: {encoding}): send it as it is, without that header."
            )
    # which is passed on as it comes
    request = {
        "content": b"\x1f\x8b",
        "headers": {"Content-Type": BINARY, "Content-Encoding": "gzip"},
    }
    assert ada.post(f"/{teller}/messages", **request).status_code == 200


@pytest.mark.parametrize("content", [b"\x00\xff\xfe", b'{"message": "not looked at"}', b""])
def test_a_binary_message_is_not_in_the_environment(
    ada: Client, teller: str, content: bytes
) -> None:
    shown, environment = ada.told(teller, **typed(content, BINARY))
    assert shown == "binary - omitted"
    assert environment["_abaco_Content_Type"] == BINARY
    assert "MSG" not in environment


def nested(levels: int) -> str:
    """JSON that is nested."""
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({}, UNREADABLE),
        (typed("plain text", "application/xml"), UNREADABLE),
        (typed("plain text", None), UNREADABLE),
        ({"data": {"other": "hello"}}, UNREADABLE),
        ({"data": {"message": ""}}, UNREADABLE),
        ({"params": {"message": ""}}, UNREADABLE),
        ({"files": {"other": (None, "hello")}}, UNREADABLE),
        (typed("null", "application/json"), UNREADABLE),
        (typed('""', "application/json"), UNREADABLE),
        (typed("", "application/json"), UNREADABLE),
        (typed('{"a": ', "application/json"), "not valid JSON"),
        (typed("abc", "application/json"), "not valid JSON"),
        (typed(b'{"a": "\xff"}', "application/json"), "it is not UTF-8"),
        (typed('{"uuid": 1, "uuid": 2}', "application/json"), "the key 'uuid' twice"),
        (typed('{"a": NaN}', "application/json"), "the value NaN"),
        (typed('{"a": -Infinity}', "application/json"), "the value -Infinity"),
        (typed('{"a": 1e999}', "application/json"), "too large"),
        (typed("9" * 1000, "application/json"), "a number of 1,000 digits"),
        (typed(nested(300), "application/json"), "nested more than 100 levels deep"),
        (typed(nested(100_000), "application/json"), "nested more than 100 levels deep"),
        (typed('{"message": "\\u0000"}', "application/json"), "NUL"),
        ({"data": {"message": "\0"}}, "NUL"),
        (typed('{"message": "\\ud800"}', "application/json"), "surrogate"),
        (typed('"\\ud800"', "application/json"), "surrogate"),
        (typed(b"message=\xff", "application/x-www-form-urlencoded"), "not UTF-8"),
        (typed("--x\r\nnot a part", "multipart/form-data; boundary=x"), "malformed"),
        (typed("--x--", "multipart/form-data"), "malformed"),
    ],
)
def test_what_is_no_message_is_refused(
    ada: Client, teller: str, request_: dict[str, Any], reason: str
) -> None:
    before = ada.result("GET", f"/{teller}/executions")["totalExecutions"]
    assert reason in ada.refusal("POST", f"/{teller}/messages", **request_)
    assert ada.result("GET", f"/{teller}/executions")["totalExecutions"] == before


def test_a_message_is_accepted_with_what_leads_on_from_it(
    gateway: RunningGateway, ada: Client
) -> None:
    actor = ada.actor("cold")
    reply = ada.post(f"/{actor}/messages", json={"message": "{}"}).json()
    assert (reply["message"], reply["status"]) == ("The request was successful", "success")
    result = reply["result"]
    base = f"{gateway.url}/actors/v2/{actor}"
    assert result == {
        "executionId": result["executionId"],
        "msg": "{}",
        "_links": {
            "self": f"{base}/executions/{result['executionId']}",
            "owner": f"{gateway.url}/profiles/v2/ada",
            "messages": f"{base}/messages",
        },
    }
    assert ada.ended(actor, result["executionId"])["exitCode"] == 0


def test_an_alias_stands_for_the_actor(ada: Client) -> None:
    actor = ada.actor("cold")
    ada.result("POST", "/aliases", json={"alias": "by.name", "actorId": actor})
    reply = ada.result("POST", "/by.name/messages", json={"exit": 2})
    assert f"/{actor}/executions/" in reply["_links"]["self"]
    assert ada.ended(actor, reply["executionId"])["exitCode"] == 2


def test_of_a_cold_actor_a_message_is_as_long_as_a_variable_may_be(ada: Client) -> None:
    actor = ada.actor("cold")
    dots = "." * (MAX_BYTES - len("MSG={'print': 'ü'}") - 1)
    execution = ada.run(actor, {"message": {"print": f"ü{dots}"}})
    assert ada.logs(actor, execution["id"]) == f"ü{dots}\n"
    refusal = ada.refusal("POST", f"/{actor}/messages", json={"print": f"ü.{dots}"})
    assert f"{MAX_BYTES - len('MSG=') + 1} bytes" in refusal
    assert "send it as application/octet-stream" in refusal


def test_of_a_warm_actor_a_message_may_be_longer(ada: Client) -> None:
    actor = ada.actor("warm")
    text = "." * 900_000
    execution = ada.run(actor, {"print": text})
    assert ada.logs(actor, execution["id"]) == f"{text}\n"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused(ada: Client, teller: str, chunked: bool) -> None:
    body = b" " * (2 * MEBIBYTE + 1)
    content: Any = iter([body]) if chunked else body
    refusal = ada.refusal("POST", f"/{teller}/messages", 413, **typed(content, "application/json"))
    assert refusal == f"The request body is larger than {2 * MEBIBYTE} bytes."


def test_a_binary_message_beyond_the_limit_is_refused_before_it_is_sent(
    gateway: RunningGateway, ada: Client, teller: str
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    connection.putrequest("POST", f"/actors/v2/{teller}/messages")
    connection.putheader("Authorization", ada.headers["Authorization"])
    connection.putheader("Content-Type", BINARY)
    connection.putheader("Content-Length", str(16 * MEBIBYTE + 1))
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 400
    assert f"Message exceeds max content length of: {16 * MEBIBYTE}".encode() in reply.read()
    connection.close()


def test_messages_wait_and_are_counted_and_dropped(ada: Client, tmp_path: Path) -> None:
    actor = ada.actor("cold")
    path = f"/{actor}/messages"
    first = ada.submit(actor, {"wait for": str(tmp_path / "go"), "print": "done"})
    eventually(lambda: ada.result("GET", path)["messages"] == 0)
    waiting = [ada.submit(actor, {"print": "never"}) for _ in range(3)]
    counted = ada.result("GET", path)
    assert counted["messages"] == 3
    assert counted["_links"]["self"].endswith(path)
    assert ada.result("DELETE", path)["msg"] == "Actor mailbox purged."
    assert ada.result("GET", path)["messages"] == 0
    ended = [ada.ended(actor, execution) for execution in waiting]
    assert [(each["status"], "exitCode" in each) for each in ended] == [("ERROR", False)] * 3
    (tmp_path / "go").touch()
    assert ada.ended(actor, first)["status"] == "COMPLETE"
    assert ada.run(actor, {"print": "goes on"})["exitCode"] == 0


def test_a_message_to_nobody_is_refused(ada: Client, teller: str) -> None:
    actor = ada.actor("cold")
    ada.result("DELETE", f"/{actor}")
    for name in (actor, "nobody"):
        assert name in ada.refusal("POST", f"/{name}/messages", 404, json={"a": 1})
