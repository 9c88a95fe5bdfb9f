from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactors.exceptions import MessageError
from reactors.message import BINARY, JSON, MAX_BYTES, TEXT, Parsed, parse
from tests.conftest import ROOT

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)


def _nest(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)


QUICK = 20
"""Seconds of processor time: what grows faster than its input takes minutes."""
NESTS = _nest(st.recursive(SCALARS, _nest, max_leaves=20))


# What JSON and repr say alike


@settings(deadline=None, max_examples=40)
@given(NESTS)
def test_json_gives_the_value_back(value: Any) -> None:
    assert parse(json.dumps(value)) == Parsed(value, structured=True)


@settings(deadline=None, max_examples=40)
@given(NESTS)
def test_repr_gives_the_value_back(value: Any) -> None:
    parsed = parse(repr(value))
    assert parsed == Parsed(value, structured=True)
    # 1, 1.0 and True are equal in Python, and are not in JSON
    assert json.dumps(parsed.value) == json.dumps(value)


@settings(deadline=None, max_examples=40)
@given(NESTS)
def test_json_without_escapes_gives_the_value_back(value: Any) -> None:
    assert parse(json.dumps(value, ensure_ascii=False, indent=1)).value == value


@pytest.mark.parametrize(
    "value",
    [
        {"taco": "🌮", "名前": "Grüße", "rtl": "שלום", "combining": "e\u0301"},
        {"quotes": 'it\'s "quoted"', "slash": "\\", "lines": "a\nb\r\tc\u2028d"},
        {"nul": "a\0b", "escape": "\x1b[31m", "delete": "\x7f"},
        {"a.b": 1, "$where": 2, "": 3, "__class__": None},
        {"tiny": 5e-324, "huge": 1.7976931348623157e308, "below": -0.1, "exp": 1e-07},
        {"long": 2**63, "longer": 10**300, "negative": -(2**63)},
        [],
        {},
        [[], {}, [[]], {"a": {}}],
    ],
)
def test_special_values_survive_both_forms(value: Any) -> None:
    assert parse(json.dumps(value)) == Parsed(value, structured=True)
    assert parse(repr(value)) == Parsed(value, structured=True)


def test_a_lone_surrogate_in_escapes_survives_both_forms() -> None:
    value = {"half": "\ud83c"}
    assert parse(json.dumps(value)).value == value
    assert parse(repr(value)).value == value


def test_a_large_nest_is_the_same_in_both_forms() -> None:
    value: Any = {"samples": [{"id": n, "ok": None, "tags": ["a", "b'c"]} for n in range(1800)]}
    for level in range(40):
        value = {f"level {level}": [value]} if level % 4 == 0 else {"inner": value, "x": True}
    assert len(json.dumps(value)) > 100 * 1024 * 0.8
    assert parse(json.dumps(value)) == Parsed(value, structured=True)
    assert parse(repr(value)) == Parsed(value, structured=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"z": "y" * 2_500_000, "n": 1, "ok": None},
        lambda: [1] * 349_000,
        lambda: {f"k{number}": [True, "it's"] for number in range(40_000)},
        lambda: {"unprintable": "\ue000\x80" * 200_000, "quotes": "'\"\\\n" * 100_000},
    ],
    ids=["text", "numbers", "keys", "escapes"],
)
def test_a_repr_of_as_much_data_as_may_be_kept_is_read_at_little_cost(
    make: Callable[[], Any],
) -> None:
    value = make()
    text = repr(value)
    begin = time.process_time()
    parsed = parse(text)
    assert time.process_time() - begin < QUICK
    assert len(text) > 600_000
    assert parsed == Parsed(value, structured=True)


@pytest.mark.parametrize("text", ["(1, 'a')", "[1, 'a',]", "[1., 'a']", "{1, 2}", "{'a': nan}"])
def test_a_literal_that_no_json_value_has_for_its_repr_stays_the_text(text: str) -> None:
    assert parse(text) == Parsed(text, structured=False)


TEXTS = ["None", "'quoted'", "(1, 2)", "1.", "1.10", "null", "[1, 2]", '"x"', "{1, 2}", "12345"]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_declared_as_a_text_stays_the_text(text: str) -> None:
    assert parse(text, TEXT) == Parsed(text, structured=False)


@pytest.mark.parametrize("text", [' {"a": null}', "{'a': None}"])
def test_an_object_in_what_is_declared_as_a_text_is_read(text: str) -> None:
    """Abaco declares so what it makes of an object in the argument `message`."""
    assert parse(text, TEXT) == Parsed({"a": None}, structured=True)


@pytest.mark.parametrize(
    ("text", "value"), [('{"a": null}', {"a": None}), ("[1]", [1]), ("{'a': None}", "{'a': None}")]
)
def test_a_binary_message_is_read_as_json_alone(text: str, value: Any) -> None:
    assert parse(text, BINARY).value == value


@pytest.mark.parametrize("declared", [JSON, TEXT, BINARY])
def test_a_byte_order_mark_is_no_part_of_a_message(declared: str) -> None:
    assert parse('\ufeff{"a": 1}', declared) == Parsed({"a": 1}, structured=True)
    assert parse("\ufeffsalsa", declared) == Parsed("salsa", structured=False)


@pytest.mark.parametrize(
    "text",
    ["{'z': '" + "y" * 3_200_000 + "'}", " [" + "(1,)," * 650_000 + "]"],
    ids=["repr", "tuples"],
)
def test_a_nest_too_large_to_be_read_is_refused_and_no_text(text: str) -> None:
    with pytest.raises(MessageError, match="too large"):
        parse(text)


@pytest.mark.parametrize("text", [" \n{'a': None}\t ", '\r\n {"a": null} \n'])
def test_space_around_a_message_does_not_matter(text: str) -> None:
    assert parse(text) == Parsed({"a": None}, structured=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("-1.5", -1.5), ("true", True), ("null", None), ('"x"', "x"), ("None", None)],
)
def test_a_scalar_is_a_value(text: str, value: Any) -> None:
    assert parse(text) == Parsed(value, structured=True)


# What is neither


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "the job's output is ready",
        "2024-01-05",
        "2024-10-15",
        "1 2 3",
        "{'a': 1",
        '{"a": 1',
        "'unterminated",
        "{'a': undefined}",
        "{'a': nan}",
        "{a: 1}",
        "f'{1}'",
        "lambda: 0",
        "[x for x in (1,)]",
        "{'a': 1 + 2}",
        "3 * 3",
        "0x10",
        "1_000",
        "01",
        "...",
        "# a remark",
        "{'a': 1}; {'b': 2}",
        "Grüße 🌮",
    ],
)
def test_a_text_stays_a_text(text: str) -> None:
    assert parse(text) == Parsed(text, structured=False)


@pytest.mark.parametrize(
    "text",
    [
        '__import__("os").system("x")',
        "open('/etc/passwd').read()",
        "().__class__.__bases__[0].__subclasses__()",
        '{"a": __import__("os")}',
        "[].append(1)",
    ],
)
def test_code_stays_a_text(text: str) -> None:
    assert parse(text) == Parsed(text, structured=False)


@pytest.mark.parametrize("text", ["b'bytes'", "{'a': b'x'}", "1j", "1+2j", "{'a': 2J}"])
def test_bytes_and_complex_numbers_stay_a_text(text: str) -> None:
    assert parse(text) == Parsed(text, structured=False)


def test_a_set_is_no_object() -> None:
    assert not isinstance(parse("{'a', 'b'}").value, dict)


# What is refused


@pytest.mark.parametrize(
    "text",
    [
        '{"uuid": 1, "uuid": 2}',
        '{"data": [{"b": 2, "uuid": 1, "c": 3, "uuid": 1}]}',
        "{'uuid': 'a', 'uuid': None}",
        "{'data': [{'uuid': 1, 'uuid': 2}]}",
    ],
)
def test_a_key_given_twice_is_refused_and_named(text: str) -> None:
    with pytest.raises(MessageError, match="'uuid' twice"):
        parse(text)


def test_a_key_given_twice_is_not_let_through_by_a_comma_too_many() -> None:
    text = '{"uuid": 1, "uuid": 2,}'
    try:
        parsed = parse(text)
    except MessageError:
        return
    assert parsed == Parsed(text, structured=False)


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_has_not_is_refused_and_named(name: str) -> None:
    with pytest.raises(MessageError, match=name):
        parse(f'{{"a": [{name}]}}')


@pytest.mark.parametrize(
    "text",
    [
        str(10**400),
        f"[{10**400}]",
        f"{{'a': -{10**400}}}",
        "1e999",
        '{"a": -1e999}',
        "{'a': 1e999}",
        "9" * 100_000,
        "['a', " + "9" * 100_000 + "]",
    ],
)
def test_a_number_beyond_all_bounds_is_refused(text: str) -> None:
    with pytest.raises(MessageError, match=r"number"):
        parse(text)


@pytest.mark.parametrize("depth", [65, 900, 5_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}"), ("{'a':", "}")])
def test_a_nest_deeper_than_the_limit_is_refused(depth: int, left: str, right: str) -> None:
    with pytest.raises(MessageError, match="64 levels"):
        parse(left * depth + "1" + right * depth)


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}"), ("{'a':", "}")])
def test_a_nest_as_deep_as_the_limit_is_read(left: str, right: str) -> None:
    assert parse(left * 64 + "1" + right * 64).structured


def test_a_message_over_the_limit_is_refused_with_the_limit() -> None:
    parse(" " * (MAX_BYTES - 2) + "{}")
    with pytest.raises(MessageError, match=f"larger than {MAX_BYTES:,} bytes"):
        parse(" " * (MAX_BYTES - 1) + "{}")


def test_the_limit_counts_bytes_not_characters() -> None:
    with pytest.raises(MessageError, match="larger than"):
        parse("é" * (MAX_BYTES // 2 + 1))


def test_an_error_repeats_only_the_start_of_what_is_wrong() -> None:
    with pytest.raises(MessageError) as caught:
        parse(json.dumps({"a": 1}).replace("a", "k" * 10_000)[:-1] + f', "{"k" * 10_000}": 2}}')
    assert len(str(caught.value)) < 200


# Odd characters, as they come out of an environment


def test_bytes_that_are_no_utf8_are_kept_as_they_came() -> None:
    text = b"caf\xe9 \xff".decode(errors="surrogateescape")
    assert parse(text) == Parsed(text, structured=False)
    value = parse(f'{{"a": "{text}"}}')
    assert value == Parsed({"a": text}, structured=True)


def test_a_raw_lone_surrogate_is_no_stack_trace() -> None:
    try:
        parsed = parse("half a taco: \ud83c")
    except MessageError:
        return
    assert parsed.value == "half a taco: \ud83c"


@pytest.mark.parametrize("text", ["a\0b", "\0"])
def test_a_raw_nul_makes_it_a_text(text: str) -> None:
    assert parse(text) == Parsed(text, structured=False)


# What is meant to hang or crash the parsers, each in a process of its own

CHILD = f"""
import resource, sys
from reactors.exceptions import MessageError
from reactors.message import parse
text = eval(sys.argv[1])
unit = 2 ** 10 if sys.platform == "linux" else 2 ** 20
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_CPU, ({QUICK}, {QUICK}))
try:
    parse(text)
except MessageError as error:
    assert len(str(error)) < 200
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit)
"""
HOSTILE = {
    "open brackets": "'[' * 100_000",
    "open braces": "'{' * 100_000",
    "open parentheses": "'(' * 100_000",
    "closed brackets": "']' * 100_000",
    "closed brackets in pairs": "'[' * 100_000 + ']' * 100_000",
    "parentheses in pairs": "'(' * 100_000 + ')' * 100_000",
    "objects in objects": "'{\"a\":' * 100_000 + '1' + '}' * 100_000",
    "objects in objects, as repr": "\"{'a':\" * 100_000",
    "signs": "'-' * 100_000 + '1'",
    "sum": "'1' + '-1' * 260_000",
    "subscripts": "'[1]' * 170_000",
    "calls": "'()' * 260_000",
    "digits": "'9' * 100_000",
    "digits after a point": "'[0.' + '9' * 5_000_000 + ']'",
    "digits of an exponent": "'[1e' + '9' * 5_000_000 + ']'",
    "unterminated text": "\"'\" + 'a' * 5_000_000",
    "unterminated JSON text": "'{\"a\": \"' + 'a' * 5_000_000",
    "unterminated escape": "'\"' + chr(92) * 4_999_999",
    "single quotes": '"\'" * 5_000_000',
    "double quotes": "'\"' * 5_000_000",
    "backslashes": "chr(92) * 5_000_000",
    "quotes and backslashes": "(chr(39) + chr(92)) * 2_500_000",
    "blanks": "' ' * 5_000_000",
    "commas": "',' * 5_000_000",
    "long sum": "'1' + '-1' * 2_000_000",
    "many subscripts": "'[1]' * 1_600_000",
    "many constants": "'[' + 'None,' * 1_000_000 + ']'",
    "constants of a repr": "'[' + 'None,' * 600_000 + 'None]'",
    "texts of a repr": "'[' + \"'',\" * 700_000 + \"'']\"",
    "objects of a repr": "\"[None\" + ',{}' * 700_000 + ']'",
    "escapes of a repr": "'[' + repr(chr(10) * 1_000_000) + ']'",
    "escaped quotes": "chr(39) + (chr(92) + chr(39)) * 1_500_000",
    "a text in each line": "('[' + chr(39) + chr(10)) * 1_000_000",
}


ALIKE = ("objects of a repr", "texts of a repr")
"""They go the way of the constants of a repr."""


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(expression, id=name, marks=[pytest.mark.long] if name in ALIKE else [])
        for name, expression in HOSTILE.items()
    ],
)
def test_hostile_input_costs_little_and_crashes_nothing(expression: str) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, expression],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (child.returncode, child.stderr) == (0, "")
    assert float(child.stdout) < 500


def test_many_keys_of_which_one_is_given_twice_cost_little() -> None:
    keys = ",".join(f'"{number}":0' for number in range(60_000))
    begin = time.process_time()
    with pytest.raises(MessageError, match="'zz' twice"):
        parse(f'{{{keys},"zz":1,"zz":2}}')
    assert time.process_time() - begin < QUICK
