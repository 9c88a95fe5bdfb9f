"""Strange values for arguments, parts of paths and searches."""

from __future__ import annotations

from typing import Any

TEXTS = [
    "",
    "\0",
    "\ud800",
    "é\u202e٣²",
    "x" * 50_000,
    "../..",
    "%00%ff",
    "-1",
    "1e400",
    "9" * 5_000,
    "NaN",
    "null",
    "[" * 1_000,
    '{"a": [1',
    "\r\nX: y",
    "'; DROP TABLE actors; --",
    "9999-12-31 23 + 1 month",
    "http://[::1",
]
VALUES: list[Any] = [
    "\0",
    "\ud800",
    "x" * 100_000,
    None,
    True,
    0,
    -1,
    2**31,
    10**300,
    1e308,
    [],
    [[]],
    [None],
    ["\ud800"],
    {},
    {"": ""},
    {"\ud800": "\0"},
    {"A=B": {"a": [1]}},
    {str(number): number for number in range(1000)},
]
SEARCHES = [
    "(a+)+$" * 50,
    "(" * 1_000,
    "a{1000}{1000}{1000}",
    "(?P<x>",
    "\\C",
    ".*" * 300,
    "(?i)é*",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "1,",
    "[1e999]",
]
