"""Messages as their senders write them, and what the strict reading of Abaco makes of them."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.abaco.http.endpoints.test_messages import BINARY, JSON, TEXT, typed
from tests.abaco.running import PROBE, Client, RunningGateway

IMAGES = {**PROBE, "once": {**PROBE["teller"], "once": ["uuid", "token"]}}
POST = {"appId": "tacos-1.0", "status": "FAILED", "message": "FAILED"}


@pytest.fixture(scope="module")
def teller(ada: Client) -> str:
    """An actor that tells its environment."""
    return ada.actor("once")


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, str]]:
    """A client of a gateway that reads messages by the letter of Abaco, and an actor that tells."""
    folder: Path = tmp_path_factory.mktemp("strict")
    with (
        RunningGateway(folder, settings={"strict_messages": True}) as gateway,
        gateway.client() as client,
    ):
        yield client, client.actor("teller")


# An object is the whole message


@pytest.mark.parametrize(
    "body", [POST, {"progress": 0.4, "message": "half"}, {"message": {"a": 1}, "b": None}]
)
def test_an_object_that_says_more_than_its_message_is_the_message(
    ada: Client, teller: str, strict: tuple[Client, str], body: dict[str, Any]
) -> None:
    shown, environment = ada.told(teller, json=body)
    assert shown == body
    assert (environment["MSG"], environment["_abaco_Content_Type"]) == (repr(body), JSON)

    client, its_teller = strict
    shown, environment = client.told(its_teller, json=body)
    assert shown == environment["MSG"] == str(body["message"])


def test_of_an_object_and_a_message_in_the_url_the_sender_is_told_which_counts(
    ada: Client, teller: str
) -> None:
    reply = ada.post(f"/{teller}/messages", params={"message": "salsa"}, json={"a": 1}).json()
    assert reply["result"]["msg"] == {"a": 1}
    assert reply["message"] == "The message is sent without 'message'"


def test_an_object_that_is_nothing_but_its_message_is_that(
    ada: Client, teller: str, strict: tuple[Client, str]
) -> None:
    for client, actor in ((ada, teller), strict):
        _, environment = client.told(actor, json={"message": {"a": None}})
        assert (environment["MSG"], environment["_abaco_Content_Type"]) == ("{'a': None}", TEXT)


# No body


@pytest.mark.parametrize("kind", ["application/json", "text/plain", None])
@pytest.mark.parametrize("body", ["", " \r\n", "null", "\ufeff"])
def test_without_a_body_the_message_is_in_the_url(
    ada: Client, teller: str, strict: tuple[Client, str], kind: str | None, body: str
) -> None:
    request = {**typed(body.encode(), kind), "params": {"event": "run", "uuid": "107"}}
    shown, environment = ada.told(teller, **request)
    assert shown == environment["MSG"] == ""
    assert (environment["event"], environment["uuid"]) == ("run", "107")

    if kind == "application/json":
        client, its_teller = strict
        assert "could not be serialized" in client.refusal(
            "POST", f"/{its_teller}/messages", **request
        )


@pytest.mark.parametrize("params", [{}, {"_abaco_synchronous": "true"}])
def test_where_the_url_says_nothing_either_there_is_no_message(
    ada: Client, teller: str, params: dict[str, str]
) -> None:
    for body in ("", "null"):
        refusal = ada.refusal(
            "POST", f"/{teller}/messages", **typed(body, "application/json"), params=params
        )
        assert "could not be serialized" in refusal


# Text


@pytest.mark.parametrize("text", ["1.10", "None", "null of them", "it is done", "[1, 2"])
def test_what_is_declared_as_text_stays_the_text(ada: Client, teller: str, text: str) -> None:
    for request in (
        typed(text, "text/plain"),
        typed(json.dumps(text), "application/json"),
        {"data": {"message": text}},
        *([typed(text, None)] if text in ("1.10", "null") else []),
    ):
        shown, environment = ada.told(teller, **request)
        assert shown == environment["MSG"] == text
        assert environment["_abaco_Content_Type"] == TEXT


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_an_object_is_an_object_under_any_content_type(
    ada: Client, teller: str, kind: str | None
) -> None:
    shown, environment = ada.told(teller, **typed('{"a": null}', kind))
    assert shown == {"a": None}
    assert environment["MSG"] == "{'a': None}"


# Byte order marks and charsets


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (typed("\ufeff" + '{"a": 1}', "application/json"), "{'a': 1}"),
        (typed("\ufeff" + '{"a": 1}', None), "{'a': 1}"),
        (typed("\ufeffsalsa", "text/plain"), "salsa"),
        (typed("\ufeffmessage=salsa", "application/x-www-form-urlencoded"), "salsa"),
        ({"data": {"message": "\ufeffsalsa"}}, "salsa"),
        ({"files": {"message": (None, "\ufeffsalsa")}}, "salsa"),
        ({"params": {"message": "\ufeffsalsa"}}, "salsa"),
        ({"json": {"message": "\ufeffsalsa"}}, "salsa"),
    ],
)
def test_a_byte_order_mark_is_no_part_of_the_text(
    ada: Client, teller: str, request_: dict[str, Any], text: str
) -> None:
    _, environment = ada.told(teller, **request_)
    assert environment["MSG"] == text


def test_a_binary_message_is_not_touched(ada: Client, teller: str) -> None:
    _, environment = ada.told(teller, **typed(codecs.BOM_UTF8 + b"{}", BINARY))
    assert "MSG" not in environment


@pytest.mark.parametrize("charset", ["ISO-8859-1", "windows-1252", "UTF-16", "utf-16le", '"utf-8"'])
def test_a_body_is_read_in_the_charset_that_its_header_names(
    ada: Client, teller: str, charset: str
) -> None:
    encoding = charset.strip('"')
    for kind, body, text in (
        ("application/json", '{"a": "jalapeño"}', "{'a': 'jalapeño'}"),
        ("text/plain", "jalapeño", "jalapeño"),
        ("application/json", '{"message": "ñ"}', "ñ"),
    ):
        request = typed(body.encode(encoding), f"{kind}; charset={charset}")
        _, environment = ada.told(teller, **request)
        assert environment["MSG"] == text


def test_a_form_is_read_in_the_charset_that_its_header_names(ada: Client, teller: str) -> None:
    kind = "application/x-www-form-urlencoded; charset=ISO-8859-1"
    for body in (b"message=jalape%F1o", "message=jalapeño".encode("latin-1")):
        assert ada.told(teller, **typed(body, kind))[0] == "jalapeño"


def test_a_wide_body_without_a_charset_is_known_by_its_mark(ada: Client, teller: str) -> None:
    body = '{"a": "ñ"}'.encode("utf-16")
    assert ada.told(teller, **typed(body, "application/json"))[0] == {"a": "ñ"}


@pytest.mark.parametrize(
    ("charset", "reason"),
    [
        ("salsa", "The charset 'salsa' of the request body is not known."),
        ("unicode_escape", "is not known"),
        ("base64", "is not known"),
        ("us-ascii", "is not in us-ascii, as its Content-Type says: ordinal not in range(128) at"),
    ],
)
def test_a_charset_that_cannot_be_is_named(
    ada: Client, teller: str, charset: str, reason: str
) -> None:
    request = typed("ñ".encode(), f"text/plain; charset={charset}")
    assert reason in ada.refusal("POST", f"/{teller}/messages", **request)


# What is refused


def test_a_shells_backslash_at_the_end_of_a_line_is_explained(ada: Client, teller: str) -> None:
    """The example of the README of the original actor, as it is printed there."""
    body = '{"uuid": "1079f67e-0ef6-52fe-b4e9-d77875573860", \\\n "name": "run"}'
    for kind in ("application/x-www-form-urlencoded", "application/json", "text/plain"):
        refusal = ada.refusal("POST", f"/{teller}/messages", **typed(body, kind))
        assert "at line 1 column 50, where '\\\\' is" in refusal
        assert "leave such backslashes out of the JSON" in refusal


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ('{"a": tacos}', "at line 1 column 7, where 't' is"),
        ('{"a": 1,\n "b": }', "at line 2 column 7, where '}' is"),
        ('{"a": ', "at line 1 column 7, where it ends"),
        ("{'a': 1}", 'at line 1 column 2, where "\'" is'),
        (b'{"a": "\xff"}', "it is not UTF-8 (byte 7 is 0xff)"),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", None])
def test_a_refusal_says_what_is_wrong_and_where(
    ada: Client, teller: str, kind: str | None, body: str | bytes, place: str
) -> None:
    assert place in ada.refusal("POST", f"/{teller}/messages", **typed(body, kind))


STRICT: tuple[tuple[dict[str, Any], str | None, str], ...] = (
    # the argument `message`, wherever it is
    (typed('{"message": "half", "progress": 0.4}', JSON), "half", TEXT),
    (typed('{"message": {"a": null}, "b": 1}', JSON), "{'a': None}", TEXT),
    (typed('{"message": ["first", "second"], "b": 1}', JSON), "first", TEXT),
    (typed('{"message": 0, "b": 1}', JSON), "0", TEXT),
    (typed('{"message": false, "b": 1}', "application/vnd.api+json"), "False", TEXT),
    ({"data": {"message": "half", "other": "1"}}, "half", TEXT),
    ({"files": {"message": (None, "half"), "other": (None, "1")}}, "half", TEXT),
    ({"params": {"message": "half"}}, "half", TEXT),
    ({"params": {"message": "url"}, **typed('{"a": 1}', JSON)}, "url", TEXT),
    ({"params": {"message": "url"}, **typed('{"message": "body", "a": 1}', JSON)}, "body", TEXT),
    ({"params": {"message": "url"}, **typed("\0", BINARY)}, "url", TEXT),
    # without one, or with an empty one, the body
    (typed("\0", BINARY), None, BINARY),
    (typed('{"message": "half", "a": 1}', BINARY), None, BINARY),
    (typed('{"a": null}', JSON), "{'a': None}", JSON),
    (typed('{"message": "", "a": 1}', JSON), "{'message': '', 'a': 1}", JSON),
    (typed('{"message": null, "a": 1}', JSON), "{'message': None, 'a': 1}", JSON),
    (typed("[1, null]", JSON), "[1, None]", JSON),
    (typed('"1.10"', JSON), "1.10", JSON),
    (typed("1.5", JSON), "1.5", JSON),
    # JSON that its header does not declare
    (typed('{"message": "half", "a": true}', "text/plain"), "{'message': 'half', 'a': True}", TEXT),
    (typed('{"a": true}', "application/x-www-form-urlencoded"), "{'a': True}", TEXT),
    (typed("[1, null]", None), "[1, None]", TEXT),
    (typed("{}", "text/plain"), "{}", TEXT),
)


@pytest.mark.parametrize(
    ("request_", "text", "content_type"), STRICT, ids=[str(each[0])[:60] for each in STRICT]
)
def test_by_the_letter_of_abaco_each_form_of_body_is_a_message(
    strict: tuple[Client, str], request_: dict[str, Any], text: str | None, content_type: str
) -> None:
    client, teller = strict
    _, environment = client.told(teller, **request_)
    assert environment.get("MSG") == text
    assert environment["_abaco_Content_Type"] == content_type


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"params": {"event": "run"}},
        typed("", JSON),
        typed("null", JSON),
        typed('{"a": ', JSON),
        typed("half done", "text/plain"),
        typed("other=half", "application/x-www-form-urlencoded"),
        {"files": {"other": (None, "half")}},
        {"data": {"message": ""}},
        {"params": {"message": ""}},
    ],
    ids=str,
)
def test_by_the_letter_of_abaco_these_are_refused(
    strict: tuple[Client, str], request_: dict[str, Any]
) -> None:
    client, teller = strict
    before = client.result("GET", f"/{teller}/executions")["totalExecutions"]
    refusal = client.refusal("POST", f"/{teller}/messages", **request_)
    assert "could not be serialized" in refusal or "is not valid JSON" in refusal
    assert client.result("GET", f"/{teller}/executions")["totalExecutions"] == before


def test_by_the_letter_of_abaco_a_refusal_is_abacos(strict: tuple[Client, str]) -> None:
    client, teller = strict
    assert client.refusal("POST", f"/{teller}/messages", **typed("salsa", None)) == (
        "message POST body could not be serialized. Pass JSON data or use the message attribute."
    )


def test_a_parameter_that_says_two_things_is_refused(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        teller = client.actor("once")
        url = f"/{teller}/messages?token=a&taco=1&taco=2&token="
        assert client.refusal("POST", url + "b", json={"a": 1}) == (
            "The parameter 'token' in the URL is given twice, with different values."
        )
        _, environment = client.told(teller, json={}, params=[("uuid", "x"), ("uuid", "x")])
        assert environment["uuid"] == "x"


@pytest.mark.parametrize("end", ["%20", "%0A", "%09"])
def test_a_nonce_with_a_blank_at_its_end_is_told_so(
    ada: Client, stranger: Client, teller: str, end: str
) -> None:
    nonce = ada.result("POST", f"/{teller}/nonces")["id"]
    refusal = stranger.refusal("POST", f"/{teller}/messages?x-nonce={nonce}{end}", json={})
    assert refusal == "Nonce does not exist: x-nonce has a blank or a line end around it."
