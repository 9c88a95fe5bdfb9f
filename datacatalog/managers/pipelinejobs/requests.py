"""What is to be indexed (docs/reference/catalog.md#indexing)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from datacatalog.filetypes import LEVELS
from datacatalog.managers.pipelinejobs.exceptions import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OTHER_NAMES = {"processing_level": "level", "filters": "patterns"}
SOURCES = ("derived_from", "derived_using")


@dataclass(frozen=True)
class Request:
    """Which files, and what is said about them."""

    patterns: tuple[str, ...] = ()
    """searched in the base names; none means every file"""
    level: str | None = None
    """what the files' level becomes; None leaves it as it is"""
    generated_by: tuple[str, ...] = ()
    derived_from: tuple[str, ...] = ()
    derived_using: tuple[str, ...] = ()
    fixity: bool = False
    """whether the files are read"""


def parse_all(given: Any, *, level: str | None = None, fixity: bool | None = None) -> list[Request]:
    """Return the requests in a list of them, or in one alone; a string is a pattern.

    Args:
        given: the requests.
        level: of requests that have none.
        fixity: of all requests, whatever they say.

    Raises:
        InvalidRequest: one of them makes no sense.
    """
    several = listed(given, "what is to be indexed")
    texts = [each for each in several if isinstance(each, str)]
    requests = [_parse(each) for each in several if not isinstance(each, str)]
    requests += [Request(tuple(texts))] if texts else []
    known = _level(level)
    return [
        replace(
            request,
            level=request.level or known,
            fixity=request.fixity if fixity is None else fixity,
        )
        for request in requests
    ]


def listed(given: Any, name: str) -> list[Any]:
    """Return one request, or several, as a list.

    Args:
        given: objects, or strings for patterns.
        name: what they are called in the error.

    Raises:
        InvalidRequest: it is something else.
    """
    several = [given] if isinstance(given, str | dict) else given
    if not isinstance(several, list | tuple):
        message = f"{name} is {given!r:.60}: give an object with patterns, or a list of them"
        raise InvalidRequest(message)
    for each in several:
        if not isinstance(each, str | dict):
            message = f"{each!r:.60} is not an indexing request: give an object with patterns"
            raise InvalidRequest(message)
    return [*several]


def count_patterns(requests: Iterable[Request]) -> int:
    """Return how many patterns some requests have."""
    return sum(len(request.patterns) for request in requests)


def _parse(given: dict[str, Any]) -> Request:
    fields: dict[str, Any] = {
        OTHER_NAMES.get(str(name), str(name)): value for name, value in given.items()
    }
    is_archive = "patterns" in fields and fields.get("level") is not None
    return Request(
        patterns=_texts(fields, "patterns"),
        level=_level(fields.get("level")),
        generated_by=_texts(fields, "generated_by"),
        derived_from=_texts(fields, "derived_from"),
        derived_using=_texts(fields, "derived_using"),
        fixity=bool(fields.get("fixity", is_archive)),
    )


def _texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    values = [value] if isinstance(value, str) else value or []
    if not isinstance(values, list | tuple) or not all(isinstance(each, str) for each in values):
        message = f"{name} of an indexing request is {value!r:.60}: give a list of strings"
        raise InvalidRequest(message)
    return tuple(values)


def _level(value: Any) -> str | None:
    if value is None:
        return None
    level = next((known for known in LEVELS if known == str(value)), None)
    if level is None:
        message = f"level of an indexing request is {value!r:.60}: use one of {', '.join(LEVELS)}"
        raise InvalidRequest(message)
    return level
