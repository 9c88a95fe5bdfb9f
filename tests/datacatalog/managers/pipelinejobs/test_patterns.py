from __future__ import annotations

import time

import pytest

from datacatalog.managers.pipelinejobs import InvalidRequest, matcher
from datacatalog.managers.pipelinejobs.patterns import match

NAMES = ["a.csv", "b.CSV", "c.json", "ünï.csv"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], NAMES),
        ([r"\.csv$"], ["a.csv", "ünï.csv"]),
        ([r"(?i)\.csv$", "json"], NAMES),
        (["json", r"(?i)\.csv$"], NAMES),
        (["a", "b"], ["a.csv", "b.CSV"]),
        ([r"^\w+\.csv$"], ["a.csv", "ünï.csv"]),
        ([r"^(?!a).*\.csv$"], ["ünï.csv"]),
        ([r"(.)\1"], []),
        (["^csv"], []),
        ([""], NAMES),
        (["tacos"], []),
    ],
)
def test_a_name_counts_if_any_pattern_is_found_in_it(
    patterns: list[str], expected: list[str]
) -> None:
    (numbers,) = match([patterns], NAMES)
    assert [NAMES[number] for number in numbers] == expected


def test_each_list_is_matched_for_itself() -> None:
    assert match([["a"], [], ["json", "b"]], NAMES) == [[0], [0, 1, 2, 3], [1, 2]]
    assert match([], NAMES) == []
    assert match([["a"]], []) == [[]]


@pytest.mark.parametrize("pattern", ["(", "a)|(b", "*", "[", r"\8", "(?P<n>a)(?P<n>b)"])
def test_a_pattern_that_is_none_is_named(pattern: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        match([["fine", pattern]], NAMES)
    assert str(refused.value).startswith(f"the pattern {pattern!r} is not a regular expression: ")


def test_a_long_pattern_is_shown_in_part() -> None:
    with pytest.raises(InvalidRequest) as refused:
        match([["(" * 1000]], NAMES)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(a+)+$",
        *(
            pytest.param(pattern, marks=pytest.mark.long)
            for pattern in (
                r"^(a|aa)+$",
                r"^(\w*)*\d$",
                r"(?:a?){30}a{30}x",
                r"^(([a-z])+.)+[A-Z]([a-z])+$",
            )
        ),
    ],
)
def test_a_pattern_that_takes_for_ever_is_given_up(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matcher, "MAX_SECONDS", 1)
    begin = time.monotonic()
    with pytest.raises(InvalidRequest, match=r"could not be matched with 1 names within 1 s"):
        match([[pattern]], ["a" * 60 + "!"])
    assert time.monotonic() - begin < 30


def test_many_names_and_patterns_are_matched_in_a_moment() -> None:
    names = [f"sample_{number}_plate.fcs" for number in range(5_000)]
    patterns = [rf"^sample_{number}_\w+\.fcs$" for number in range(100)]
    (numbers,) = match([patterns], names)
    assert numbers == list(range(100))
