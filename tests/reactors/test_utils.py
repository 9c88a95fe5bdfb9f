from __future__ import annotations

import datetime
import re
import time

import pytest

from reactors import utils


def test_microseconds_count_from_1970() -> None:
    before = time.time()
    found = utils.microseconds()
    assert isinstance(found, int)
    assert before - 0.001 <= found / 1e6 <= time.time() + 0.001


def test_microseconds_tell_moments_apart() -> None:
    first = utils.microseconds()
    time.sleep(0.002)
    assert 1_000 < utils.microseconds() - first < 10_000_000


def test_utcnow_is_iso_8601_with_milliseconds() -> None:
    text = utils.utcnow()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)


def test_utcnow_is_utc_whatever_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        text = utils.utcnow()
    finally:
        monkeypatch.undo()
        time.tzset()
    moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")
    assert abs(moment.timestamp() - time.time()) < 60
