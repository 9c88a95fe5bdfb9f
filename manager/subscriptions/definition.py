"""A webhook as somebody has written it down, in the settings or by command."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datacatalog.linkedstores.pipelinejob.fsm import TRANSITIONS
from manager.exceptions import InvalidSettings
from manager.subscriptions import actor, signing
from manager.subscriptions.formats import FORMATS
from manager.subscriptions.posting import Poster

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reactors.runtime import Reactor

EVENTS = tuple(TRANSITIONS)
STATES = tuple(sorted({"CREATED", *(each.target for each in TRANSITIONS.values() if each.target)}))
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LISTS = ("events", "pipelines", "states", "secrets")
_KEYS = ("name", "url", "format", "allow_private", "secret", *_LISTS)
_VARIABLE = "$"


@dataclass(frozen=True)
class Definition:
    """What a webhook is told, where, and in which form.

    Attributes:
        name: by which it is known.
        url: where it is told.
        format: one of `FORMATS`.
        events, pipelines, states: what it is told of; empty for all. Pipelines by UUID or id.
        secrets: by which it recognizes the sender.
        allow_private: whether the URL may lead to a private network.
    """

    name: str
    url: str
    format: str = FORMATS[0]
    events: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    allow_private: bool = False


def of_settings(rx: Reactor) -> list[Definition]:
    """Return the webhooks that the settings define.

    Raises:
        InvalidSettings: one of them makes no sense.
    """
    given = rx.settings.get("subscriptions") or []
    if not isinstance(given, list):
        message = "settings: subscriptions must be a list"
        raise InvalidSettings(message)
    found = [parse(each, rx.environ, f"subscriptions[{n}]") for n, each in enumerate(given)]
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            message = f"settings: subscriptions: there are two called {name!r}"
            raise InvalidSettings(message)
    return found


def parse(given: Any, environ: Mapping[str, str], place: str = "subscription") -> Definition:
    """Return a webhook as it was written down.

    Args:
        given: the fields of a `Definition`, and perhaps `secret` for one of the `secrets`.
        environ: where a secret is looked up that is the name of a variable behind a `$`.
        place: what it is called in errors.

    Raises:
        InvalidSettings: it makes no sense. The message repeats no secret.
    """
    if not isinstance(given, dict):
        raise _problem(place, "must be a section with keys")
    if unknown := [key for key in given if key not in _KEYS]:
        raise _problem(place, f"{unknown[0]!r:.40} means nothing: its keys are {', '.join(_KEYS)}")
    name, url = given.get("name"), given.get("url")
    if name == actor.NAME:
        raise _problem(place, f"name must not be {name!r}: that is the events manager's")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        what = f"name is {name!r:.80}: use lower-case letters, digits, '-' and '_', at most 63"
        raise _problem(place, what)
    place = f"subscription {name}"
    try:
        Poster(url if isinstance(url, str) else "")
    except ValueError as error:
        raise _problem(place, f"url is {error}") from error
    lists = {key: _strings(given.get(key), place, key) for key in _LISTS}
    if isinstance(given.get("secret"), str) and given["secret"]:
        lists["secrets"] = (given["secret"], *lists["secrets"])
    chosen = given.get("format") or FORMATS[0]
    _check_choice(place, "events", lists["events"], EVENTS)
    _check_choice(place, "states", lists["states"], STATES)
    _check_choice(place, "format", (chosen,), FORMATS)
    if not isinstance(given.get("allow_private", False), bool):
        raise _problem(place, "allow_private must be true or false")
    return Definition(
        name=name,
        url=str(url),
        format=chosen,
        events=lists["events"],
        pipelines=lists["pipelines"],
        states=lists["states"],
        secrets=tuple(_secret(text, environ, place) for text in lists["secrets"]),
        allow_private=given.get("allow_private", False),
    )


def _check_choice(place: str, key: str, values: Sequence[str], known: Sequence[str]) -> None:
    for value in values:
        if value not in known:
            raise _problem(place, f"{key}: {value!r:.40} is not one of {', '.join(known)}")


def _secret(text: str, environ: Mapping[str, str], place: str) -> str:
    if text.startswith(_VARIABLE):
        variable = text.removeprefix(_VARIABLE)
        if not (text := environ.get(variable, "")):
            raise _problem(place, f"secret: the variable {variable:.60} is not set")
    try:
        signing.key_of(text)
    except ValueError as error:
        raise _problem(place, str(error)) from error
    return text


def _strings(given: Any, place: str, key: str) -> tuple[str, ...]:
    if given is None:
        return ()
    if not (isinstance(given, list) and all(isinstance(each, str) and each for each in given)):
        raise _problem(place, f"{key} must be a list of strings")
    return tuple(given)


def _problem(place: str, what: str) -> InvalidSettings:
    return InvalidSettings(f"settings: {place}: {what}")
