"""The values in `tests/data/vectors.json`, which the original system computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datacatalog.managers.pipelinejobs import ManagedPipelineJobError
from datacatalog.tokens import InvalidToken

ERRORS: dict[str, type[Exception]] = {
    "Exception": Exception,
    "InvalidToken": InvalidToken,
    "KeyError": KeyError,
    "ManagedPipelineJobError": ManagedPipelineJobError,
    "TypeError": TypeError,
    "ValueError": ValueError,
    "ZeroDivisionError": ZeroDivisionError,
}


def _unfold(members: dict[str, Any]) -> Any:
    if set(members) == {"repeat"}:
        text, count = members["repeat"]
        return text * count
    return members


_FILE = Path(__file__).parent.parent / "data" / "vectors.json"
VECTORS: dict[str, Any] = json.loads(_FILE.read_text(), object_hook=_unfold)


def cases(group: str) -> pytest.MarkDecorator:
    """Parametrize a test with the vectors of a group."""
    vectors = VECTORS[group]
    names = [f"{index}-{json.dumps(vector['input']):.50}" for index, vector in enumerate(vectors)]
    return pytest.mark.parametrize("vector", vectors, ids=names)


def check(vector: dict[str, Any], call: Callable[[], Any]) -> None:
    """Assert that a call does what the original system did."""
    if "raises" in vector:
        with pytest.raises(ERRORS[vector["raises"]]) as caught:
            call()
        assert str(caught.value) == vector["message"]
    else:
        assert call() == vector["output"]
