from __future__ import annotations

from typing import Any

import pytest

from datacatalog.managers.pipelinejobs import InvalidRequest
from datacatalog.managers.pipelinejobs.requests import Request, parse_all


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"patterns": ["a"], "level": "1"},
            Request(("a",), "1", fixity=True),
        ),
        (
            {"filters": ["a"], "processing_level": 2, "fixity": False},
            Request(("a",), "2"),
        ),
        (
            {"patterns": [], "level": "Unknown", "generated_by": ["x"]},
            Request((), "Unknown", ("x",), fixity=True),
        ),
        (
            {"patterns": ["a"], "derived_from": ["./b"], "derived_using": "c"},
            Request(("a",), derived_from=("./b",), derived_using=("c",)),
        ),
        ({"patterns": ["a"], "fixity": True}, Request(("a",), fixity=True)),
        ({"level": "1"}, Request((), "1")),
        ({"patterns": "a", "level": None}, Request(("a",))),
        ({"patterns": None, "note": 7}, Request()),
        ({}, Request()),
    ],
)
def test_a_request_is_an_object(given: dict[str, Any], expected: Request) -> None:
    assert parse_all(given) == parse_all([given]) == [expected]


def test_texts_are_patterns_of_one_request() -> None:
    assert parse_all("a") == [Request(("a",))]
    assert parse_all(["a", {"patterns": ["c"]}, "b"]) == [Request(("c",)), Request(("a", "b"))]
    assert parse_all([]) == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (7, "what is to be indexed is 7: give an object with patterns, or a list of them"),
        ([7], "7 is not an indexing request: give an object with patterns"),
        ([None], "None is not an indexing request: give an object with patterns"),
        ([["a"]], "['a'] is not an indexing request: give an object with patterns"),
        (
            {"patterns": [1]},
            "patterns of an indexing request is [1]: give a list of strings",
        ),
        (
            {"patterns": {"a": 1}},
            "patterns of an indexing request is {'a': 1}: give a list of strings",
        ),
        (
            {"derived_from": [None]},
            "derived_from of an indexing request is [None]: give a list of strings",
        ),
        (
            {"patterns": [], "level": "4"},
            "level of an indexing request is '4': use one of 0, 1, 2, 3, User, Reference, Unknown",
        ),
    ],
)
def test_what_makes_no_sense_is_named(given: Any, problem: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_all(given)
    assert str(refused.value) == problem
