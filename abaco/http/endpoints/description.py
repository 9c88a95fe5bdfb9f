"""What an actor is described by, and what of that is refused (docs/reference/abaco.md#actors)."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from abaco import cron
from abaco.exceptions import BadRequest
from abaco.http import envelope
from abaco.http.arguments import Argument, read_json
from abaco.settings import QUEUES
from abaco.workers import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from abaco.http.call import Call
    from abaco.store.records import Record

_FORBIDDEN_IN_HINTS = re.compile(r"[\"'{}\[\]]")
_MAX_NAME_LENGTH = 255
_MAX_WEBHOOK_LENGTH = 2000
"""It is kept twice with each event that waits."""
_SECRET = "***"  # noqa: S105 - in place of one

ARGUMENTS = (
    Argument("image", "text", "Reference to image on docker hub for this actor.", required=True),
    Argument("name", "text", "User defined name for this actor."),
    Argument("description", "text", "Description of this actor."),
    Argument("type", "text", "The type of the actor."),
    Argument("stateless", "boolean", "Whether the actor stores private state."),
    Argument("token", "any", "Whether to generate an OAuth access token for every execution."),
    Argument("link", "text", "Actor id or alias to which this actor's events are sent."),
    Argument("webhook", "text", "URL to which this actor's events are sent."),
    Argument("hints", "any", "What there is to know about the actor, a list of strings."),
    Argument("privileged", "boolean", "Whether this actor runs in privileged mode."),
    Argument("maxWorkers", "integer", "How many workers this actor may have at most."),
    Argument("memLimit", "text", "How much memory the actor may use."),
    Argument("maxCpus", "text", "How many nanoseconds of processors the actor may use."),
    Argument("useContainerUid", "boolean", "Whether to use the UID set in the container."),
    Argument("defaultEnvironment", "object", "Default environment variables and values."),
    Argument("queue", "text", "Command channel that this actor uses.", choices=QUEUES),
    Argument("logEx", "integer", "How many seconds a log is kept."),
    Argument("cronSchedule", "text", "When the actor is executed: yyyy-mm-dd hh + n unit(s)."),
    Argument("cronOn", "boolean", "Whether the cron schedule is in force."),
    Argument("force", "boolean", "Whether to renew the actor though its image is the same."),
)
_PRIVILEGED = {
    "privileged": "make privileged actors",
    "max_workers": "set max workers",
    "max_cpus": "set max CPUs",
    "mem_limit": "set mem limit",
    "queue": "set queue",
    "use_container_uid": "use container uid",
}


class Invalid(BadRequest):
    """A description that cannot be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Invalid actor description: {reason}")


def read(call: Call) -> dict[str, Any]:
    """Return the description in a request, by the names of columns.

    Raises:
        BadRequest: a value cannot be used, or only by privileged users.
    """
    given = {
        envelope.snake(name): value for name, value in call.arguments.items() if name != "force"
    }
    if not call.principal.privileged:
        _check_privileges(given)
    for name, check in _CHECKS.items():
        if name in given:
            given[name] = check(given[name])
    spell = str if call.snake else envelope.camel
    _check_values(given, spell)
    if not given.get("stateless", True) and (given.get("max_workers") or 1) > 1:
        reason = "stateful actors can only have 1 worker."
        raise Invalid(reason)
    if given.get("cron_schedule"):
        try:
            given["cron_next_ex"] = cron.parse(given["cron_schedule"]).start
        except cron.InvalidSchedule as error:
            raise BadRequest(str(error)) from error
        given.setdefault("cron_on", True)
    elif given.get("cron_on"):
        reason = f"{spell('cron_on')} needs a {spell('cron_schedule')}."
        raise Invalid(reason)
    return given


def _check_values(given: dict[str, Any], spell: Callable[[str], str]) -> None:
    for name in ("max_workers", "log_ex"):
        if given.get(name, 1) < 1:
            reason = f"{spell(name)} must be at least 1."
            raise Invalid(reason)
    for name, value in given.get("default_environment", {}).items():
        if not environment.fits(name, str(value)):
            what = spell("default_environment")
            reason = f"{what} has a variable that cannot be set: {name!r:.60}."
            raise Invalid(reason)


def shown_environment(actor: Mapping[str, Any], *, whole: bool) -> Record:
    """Return the environment of an actor as clients see it.

    Args:
        actor: the actor's record.
        whole: show the values, which may be secrets.
    """
    environment: Record = actor["default_environment"]
    return environment if whole else dict.fromkeys(environment, _SECRET)


def _check_privileges(given: dict[str, Any]) -> None:
    for name, what in _PRIVILEGED.items():
        harmless = name == "queue" and given.get(name) == "default"
        if given.get(name) and not harmless:
            message = f"Not authorized -- only admins and privileged users can {what}."
            raise BadRequest(message)


def _image(given: str) -> str:
    if not given.strip():
        reason = "image is empty."
        raise Invalid(reason)
    return given


def _name(given: str) -> str:
    if len(given) > _MAX_NAME_LENGTH:
        reason = f"the name is longer than {_MAX_NAME_LENGTH} characters."
        raise Invalid(reason)
    return given


def _queue(given: str) -> str:
    if given not in QUEUES:
        reason = "Invalid queue name."
        raise Invalid(reason)
    return given


def _token(given: Any) -> bool | str:
    if isinstance(given, bool):
        return given
    if str(given).lower() not in ("true", "false"):
        reason = "token must be true or false."
        raise Invalid(reason)
    return str(given).lower()


def _hints(given: Any) -> list[str]:
    if isinstance(given, str) and given.startswith("["):
        # a form has a list in JSON; what is not valid JSON has a bracket, which no hint may have
        with contextlib.suppress(BadRequest):
            given = read_json(given.encode())
    hints = given if isinstance(given, list) else [given]
    if not all(isinstance(hint, str) and not _FORBIDDEN_IN_HINTS.search(hint) for hint in hints):
        reason = "hints must be a string or a list of strings without quotes, braces or brackets."
        raise Invalid(reason)
    return hints


def _webhook(given: str) -> str:
    try:
        parts = urlsplit(given)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        good &= parts.port is None or parts.port > 0
    except ValueError:
        good = False
    if given and not good:
        reason = "webhook must be an http or https URL."
        raise Invalid(reason)
    if len(given) > _MAX_WEBHOOK_LENGTH:
        reason = f"the webhook is longer than {_MAX_WEBHOOK_LENGTH} characters."
        raise Invalid(reason)
    return given


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "image": _image,
    "name": _name,
    "token": _token,
    "hints": _hints,
    "queue": _queue,
    "webhook": _webhook,
}
