from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from abaco.exceptions import BadRequest
from abaco.http import query
from tests.abaco.running import NOWHERE, Client


@pytest.mark.parametrize(
    "text",
    ["", "a=1&b=2", "a=1&a=2", "a", "a=", "&&a=1&", "a=b=c", "a+b=c+d", "a=%C3%A4%2B", "%zz=%"],
)
def test_what_can_be_kept_is_read_as_everybody_reads_it(text: str) -> None:
    found = query.read(text.encode(), most=10, what="URL")
    assert found == parse_qsl(text, keep_blank_values=True)


def test_there_may_be_so_many_and_no_more() -> None:
    assert len(query.read(b"a=1&" * 10, most=10, what="URL")) == 10
    with pytest.raises(BadRequest, match=r"The URL has more than 10 parameters\."):
        query.read(b"a=1&" * 11, most=10, what="URL")


@pytest.mark.parametrize("nonce", ["SD2E_%00", "%FF"])
def test_a_credential_that_cannot_be_read_is_not_repeated(stranger: Client, nonce: str) -> None:
    message = stranger.refusal("GET", f"/nobody?x-nonce={nonce}")
    assert message.startswith("The parameter 'x-nonce' in the URL ")
    assert "SD2E" not in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"message=%ff", "'message' in the form is not UTF-8"),
        (b"message=a%00", "'message' in the form has a NUL"),
        (b"message=\xff", "'message' in the form is not UTF-8"),
    ],
)
def test_a_form_is_kept_as_it_was_sent_or_refused(ada: Client, text: bytes, problem: str) -> None:
    actor = ada.actor(NOWHERE)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    message = ada.refusal("POST", f"/{actor}/messages", content=text, headers=headers)
    assert message == f"The parameter {problem}."
    assert ada.result("GET", f"/{actor}/messages")["messages"] == 0


def test_a_name_is_shortened_and_a_value_is_not_repeated() -> None:
    with pytest.raises(BadRequest) as caught:
        query.read(b"a" * 1000 + b"=secret%00", most=10, what="URL")
    assert len(str(caught.value)) < 120
    assert "secret" not in str(caught.value)
