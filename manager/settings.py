"""The settings that this actor owns, and what is wrong with them.

The rules are in docs/reference/actor.md#settings.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from manager.exceptions import InvalidSettings
from reactors.logs import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMATS = ("text", "json")
SWITCHES = ("debug", "state_enter", "state_exit")
SECTIONS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "logs": {"level": str, "format": str, "file": str, "folders": list, "token": str},
    "mongodb": {
        "authn": str,
        "host": str,
        "port": (int, str),
        "username": str,
        "password": str,
        "database": str,
        "timeout": (int, float),
        "patience": (int, float),
    },
    "pipelines": dict.fromkeys(
        (
            "pipeline_uuid",
            "pipeline_manager_id",
            "pipeline_manager_nonce",
            "job_manager_id",
            "job_manager_nonce",
            "job_indexer_id",
            "job_indexer_nonce",
            "events_manager_id",
            "events_manager_nonce",
            "permission_manager",
            "process_uuid",
        ),
        str,
    ),
    "openlineage": {"namespace": str},
    "deliveries": {"dispatcher": bool, "attempts": (int, float), "age": (int, float)},
    "authorization": {"trusted_users": list, "nonce_may_create": bool},
}
_NAMES = {
    str: "a string",
    list: "a list",
    bool: "true or false",
    (int, float): "a number",
    (int, str): "a number",
}


def check(settings: Mapping[str, Any]) -> None:
    """Check the settings, so that a mistake is named before anything is done.

    Raises:
        InvalidSettings: a value has the wrong type, or a section has a key that means nothing.
    """
    for name in SWITCHES:
        _check_type(name, settings.get(name), bool)
    for section, keys in SECTIONS.items():
        content = settings.get(section)
        if content is None:
            continue
        if not isinstance(content, dict):
            message = f"settings: {section} must be a section with keys"
            raise InvalidSettings(message)
        for key, value in content.items():
            if key not in keys:
                message = f"settings: {section}.{key} means nothing{_nearest(key, keys)}"
                raise InvalidSettings(message)
            _check_type(f"{section}.{key}", value, keys[key])
    _check_choice(settings, "level", LEVELS)
    _check_choice(settings, "format", FORMATS)
    timeout = section_of(settings, "mongodb").get("timeout")
    if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
        message = "settings: mongodb.timeout must be more than 0 seconds"
        raise InvalidSettings(message)
    patience = section_of(settings, "mongodb").get("patience")
    if patience is not None and not (math.isfinite(patience) and patience >= 0):
        message = "settings: mongodb.patience must be 0 seconds or more"
        raise InvalidSettings(message)
    users = section_of(settings, "authorization").get("trusted_users") or []
    if not all(isinstance(user, str) and user for user in users):
        message = "settings: authorization.trusted_users must be a list of user names"
        raise InvalidSettings(message)


def section_of(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a section of the settings, empty where there is none."""
    return settings.get(name) or {}


def _check_type(name: str, value: Any, expected: type | tuple[type, ...]) -> None:
    is_switch = isinstance(value, bool)
    if value is None or (isinstance(value, expected) and is_switch == (expected is bool)):
        return
    # the value itself may be a secret in the wrong place
    message = f"settings: {name} must be {_NAMES[expected]}, not {_describe(value)}"
    raise InvalidSettings(message)


def _describe(value: Any) -> str:
    names = {str: "a string", list: "a list", bool: "true or false", dict: "a section"}
    return names.get(type(value), "a number")


def _check_choice(settings: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> None:
    value = section_of(settings, "logs").get(key)
    if value and value.upper() not in (choice.upper() for choice in choices):
        message = f"settings: logs.{key} is {value!r:.20}: use one of {', '.join(choices)}"
        raise InvalidSettings(message)


def _nearest(key: object, keys: Mapping[str, object]) -> str:
    import difflib  # noqa: PLC0415 - only a mistake needs it

    nearest = difflib.get_close_matches(str(key), keys, n=1)
    return f": did you mean {nearest[0]}?" if nearest else f": its keys are {', '.join(keys)}"
