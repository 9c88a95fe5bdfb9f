from __future__ import annotations

from typing import Any

import pytest

import yamlfiles

CHANGED = [
    "48:00:00",
    "010",
    "1.10",
    "1.",
    "no",
    "yes",
    "On",
    "2024-01-05",
    "0x10",
    "1_000",
    ".5",
    "1e5",
]
KEPT: list[tuple[str, Any]] = [
    ("48", 48),
    ("-0.5", -0.5),
    ("1.0", 1.0),
    ("1.5e+3", 1500.0),
    ("true", True),
    ("null", None),
    ("~", None),
    ("salsa", "salsa"),
    ("1.2.3", "1.2.3"),
    ('"1.10"', "1.10"),
    ("'010'", "010"),
    ("!!str 010", "010"),
    ("[1, a]", [1, "a"]),
]


@pytest.mark.parametrize("text", CHANGED)
def test_a_scalar_that_would_be_changed_is_refused_by_name_where_its_text_counts(text: str) -> None:
    document = f"name: taco\ntime: {text}\n"
    with pytest.raises(yamlfiles.ReadingError, match=r"line 2: .*would be changed") as caught:
        yamlfiles.load(document, plain=True)
    assert repr(text) in str(caught.value)
    assert yamlfiles.load(document)["name"] == "taco"


@pytest.mark.parametrize(("text", "value"), KEPT)
def test_other_scalars_are_what_they_are_in_json(text: str, value: Any) -> None:
    for plain in (False, True):
        assert yamlfiles.load(f"\ufeffa: {text}", plain=plain) == {"a": value}


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    "text", ["a: 1\nb: 2\na: 3", "x:\n  - {a: 1, a: 1}", '{"a": 1,\n"a": 2}'], ids=range(3)
)
def test_a_key_that_stands_twice_is_refused_and_named(text: str, plain: bool) -> None:
    with pytest.raises(yamlfiles.ReadingError, match="the key 'a' stands twice"):
        yamlfiles.load(text, plain=plain)


def test_keys_that_are_merged_may_be_given_again() -> None:
    text = "base: &base {a: 1}\nother:\n  <<: *base\n  a: 2\n"
    assert yamlfiles.load(text, plain=True)["other"] == {"a": 2}


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\tx", "[" * 5000])
def test_what_is_not_yaml_is_told(text: str) -> None:
    with pytest.raises(yamlfiles.ReadingError, match="not valid YAML"):
        yamlfiles.load(text)
