"""For how long an answer is taken from memory."""

from __future__ import annotations

import contextlib
import types
from typing import Any, cast

import pytest

from abaco.store import known
from abaco.store.known import Known


def test_an_answer_is_kept_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [100.0]
    monkeypatch.setattr(known, "time", types.SimpleNamespace(monotonic=lambda: moments[-1]))
    asked: list[str] = []

    def query(_: Any, name: str) -> str:
        asked.append(name)
        return name

    answers = Known(lambda: cast("Any", contextlib.nullcontext()))
    for moment, count in ((100.0, 1), (101.0, 1), (101.01, 2)):
        moments.append(moment)
        assert answers.ask(query, "salsa") == "salsa"
        assert len(asked) == count
