"""What the fields of a job hold (docs/concepts.md#the-job-document)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacatalog.linkedstores.pipelinejob.exceptions import JobCreateFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LINKS = ("generated_by", "child_of", "acted_on", "acted_using")
_LISTS = (*LINKS, "archive_patterns", "product_patterns")
_TEXTS = ("archive_path", "archive_system")
_OPTIONAL_TEXTS = ("session", "agent", "task")
_NAMES = (*_TEXTS, *_LISTS, *_OPTIONAL_TEXTS)


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a new job: those that are None left out, one link as a list of links.

    Its data may be any JSON.

    Raises:
        JobCreateFailure: a field is of the wrong type.
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
    return fields


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
