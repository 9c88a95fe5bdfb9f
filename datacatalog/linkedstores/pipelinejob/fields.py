"""What the fields of a job hold (docs/concepts.md#the-job-document)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from datacatalog import paths
from datacatalog.linkedstores.pipelinejob.exceptions import JobCreateFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LINKS = ("generated_by", "child_of", "acted_on", "acted_using")
_LISTS = (*LINKS, "archive_patterns", "product_patterns")
_TEXTS = ("archive_path", "archive_system")
_OPTIONAL_TEXTS = ("session", "agent", "task")
_URI = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NAMES = (*_TEXTS, *_LISTS, *_OPTIONAL_TEXTS)


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a new job: those that are None left out, one link as a list of links.

    Its data may be any JSON.

    Args:
        given: with an archive path.

    Raises:
        JobCreateFailure: a field is of the wrong type, or the archive path a URI.
    """
    fields = {
        name: value for name, value in given.items() if value is not None or name not in _NAMES
    }
    for name in _LISTS:
        value = fields.get(name)
        if isinstance(value, str) and name in LINKS:
            fields[name] = [value]
        elif isinstance(value, tuple):
            fields[name] = [*value]
    problem = wrong(fields, _NAMES)
    if problem is not None:
        raise JobCreateFailure(problem)
    fields["archive_path"] = archive_path(fields["archive_path"])
    return fields


def archive_path(given: object) -> str:
    """Return the archive path of a new job; one that is not absolute is below `/products/v2`.

    Raises:
        JobCreateFailure: it is not a string, or is a URI.
    """
    problem = wrong({"archive_path": given}, ("archive_path",))
    path = str(given)
    if problem is None and _URI.match(path):
        problem = f"'archive_path' is the URI {path!r:.80}: give its path, and its system as 'archive_system'"
    if problem is not None:
        raise JobCreateFailure(problem)
    return paths.absolute(path, paths.PRODUCTS)


def wrong(fields: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Return which of some fields is of the wrong type, for people; None if all are right."""
    for name in names:
        if name in fields and not _fits(name, fields[name]):
            value = fields[name]
            return (
                f"'{name}' is {value!r:.60} ({type(value).__name__}), and has to be {_wanted(name)}"
            )
    return None


def _fits(name: str, value: Any) -> bool:
    if name not in _LISTS:
        return isinstance(value, str)
    if not isinstance(value, list):
        return False
    return name not in LINKS or all(isinstance(each, str) for each in value)


def _wanted(name: str) -> str:
    if name in LINKS:
        return "a list of UUIDs"
    return "a list" if name in _LISTS else "a string"
