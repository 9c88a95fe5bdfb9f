"""JSON from outside: what is refused, and how that is said."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import strictjson


def test_what_is_nested_as_deep_as_allowed_is_read() -> None:
    text = "[" * 3 + '{"a": "[[[["}' + "]" * 3
    assert strictjson.loads(text, max_depth=4) == [[[{"a": "[[[["}]]]
    assert strictjson.loads(text.encode(), max_depth=4) == [[[{"a": "[[[["}]]]


@pytest.mark.parametrize(
    ("text", "problem"),
    {
        "nested too deep": ("[[[[[]]]]]", "it is nested more than 4 levels deep"),
        "far too deep": ("[" * 200_000 + "]" * 200_000, "it is nested more than 4 levels deep"),
        "a key twice": ('[{"a": 1, "b": 2, "a": 3}]', "it has the key 'a' twice in one object"),
        "no number": ("[-Infinity]", "it has the value -Infinity, which JSON does not have"),
        "a large number": ("[1e999]", "it has the number 1e999, which is too large"),
        "a large integer": ("9" * 400, f"it has the number {'9' * 20}, which is too large"),
        "many digits": ("9" * 5000, "it has a number of 5,000 digits"),
        "many digits after a point": ("0." + "9" * 5000, "it has a number of 5,002 digits"),
    }.values(),
)
def test_what_says_two_things_or_too_much_is_refused(text: str, problem: str) -> None:
    for given in (text, text.encode()):
        with pytest.raises(strictjson.ReadingError) as caught:
            strictjson.loads(given, max_depth=4)
        assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("text", "place"),
    {
        "another quote": (
            "{'a': 1}",
            'Expecting property name enclosed in double quotes at line 1 column 2, where "\'" is',
        ),
        "its end": ('{"a":\n1', "Expecting ',' delimiter at line 2 column 2, where it ends"),
        "what a shell keeps": (
            '{"a": \\\n1}',
            (
                r"Expecting value at line 1 column 7, where '\\' is. Within quotes a shell keeps a backslash"
                " at the end of a line: leave such backslashes out of the JSON"
            ),
        ),
        "too deep to tell": ("[" * 200_000, ""),
        "valid": ("\ufeff{}", ""),
    }.values(),
)
def test_where_a_text_is_not_json_is_told(text: str, place: str) -> None:
    assert strictjson.locate(text) == place


def test_what_is_no_json_is_left_to_the_standard_library() -> None:
    with pytest.raises(json.JSONDecodeError):
        strictjson.loads("tacos", max_depth=4)
    with pytest.raises(UnicodeDecodeError):
        strictjson.loads(b'"\xff"', max_depth=4)


def test_it_needs_the_standard_library_alone() -> None:
    code = (
        "import sys; before = {*sys.modules}; import strictjson;"
        "print({*sys.modules} - before - {*sys.stdlib_module_names} - {'strictjson'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    imported = {name.partition(".")[0] for name in done.stdout.strip("{}'\n").split("', '")}
    assert imported <= {*sys.stdlib_module_names, "set()"}
