"""Which names the patterns of indexing requests match, however the patterns were meant.

Patterns come with jobs, and a few characters of one can keep Python's regular expressions busy for
years. They keep their meaning, and are tried in a process that is killed when its time is up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacatalog.managers.pipelinejobs import matcher
from datacatalog.managers.pipelinejobs.exceptions import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_SHOWN = 80


def match(lists: Sequence[Sequence[str]], names: Sequence[str]) -> list[list[int]]:
    """Return for each list of patterns the numbers of the names that any of them is found in.

    Without patterns, every name counts.

    Raises:
        InvalidRequest: a pattern is not a regular expression, or they take too long.
    """
    everything = list(range(len(names)))
    if not any(lists):
        return [everything for _ in lists]
    answer = _ask([list(patterns) for patterns in lists if patterns], names)
    if isinstance(answer, dict):
        message = f"the pattern {_shown(answer['pattern'])} is not a regular expression: {answer['problem']}"
        raise InvalidRequest(message)
    matched = iter(answer)
    return [next(matched) if patterns else everything for patterns in lists]


def _ask(lists: list[list[str]], names: Sequence[str]) -> Any:
    command = [sys.executable, "-I", "-S", str(Path(matcher.__file__))]
    question = json.dumps([lists, list(names)])
    try:
        done = subprocess.run(  # noqa: S603 - the command is made here
            command,
            input=question,
            env={},
            capture_output=True,
            text=True,
            check=True,
            timeout=matcher.MAX_SECONDS,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        patterns = [pattern for each in lists for pattern in each]
        message = f"the patterns could not be matched with {len(names)} names within {matcher.MAX_SECONDS} s and {matcher.MAX_BYTES >> 30} GiB, the longest is {_shown(max(patterns, key=len))}: make them simpler"
        raise InvalidRequest(message) from error
    return json.loads(done.stdout)


def _shown(pattern: str) -> str:
    return repr(pattern if len(pattern) <= _MAX_SHOWN else pattern[:_MAX_SHOWN] + "…")
