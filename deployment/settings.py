"""What is deployed: `reactor.rc` and `secrets.json` of the working directory."""

from __future__ import annotations

import re
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployment.exceptions import DeploymentError
from reactors.exceptions import MessageError
from reactors.logs import forms
from reactors.message import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

REACTOR_FILE = Path("reactor.rc")
SECRETS_FILE = Path("secrets.json")
DEFAULTS = {
    "REACTOR_NAME": "pipelinejobs-manager",
    "REACTOR_DESCRIPTION": "The actor to which pipelines report.",
    "REACTOR_ALIAS": "jobs-manager",
    "REACTOR_WORKERS": "1",
    "REACTOR_STATELESS": "1",
    "REACTOR_PRIVILEGED": "0",
    "REACTOR_USE_UID": "0",
    "DOCKER_HUB_ORG": "",
    "DOCKER_IMAGE_TAG": "pipelinejobs-manager",
    "DOCKER_IMAGE_VERSION": "latest",
    "DOCKER_PYTHON": "python:3.12-slim",
}
"""The keys of `reactor.rc`."""
_SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
_IMAGE = re.compile(r"([a-z0-9.:_-]+/)*[a-z0-9]+([._-]+[a-z0-9]+)*:[A-Za-z0-9_][A-Za-z0-9._-]*")
_WORKERS_DIGITS = 6
_SECRET_CHARACTERS = 4
"""Shorter values are not secrets, and occur in many words."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Reactor:
    """The actor as it is to be."""

    name: str
    description: str
    alias: str
    workers: int
    stateless: bool
    privileged: bool
    use_uid: bool
    """run as the user of the container, not as the one who deploys"""
    image: str
    """as a registry knows it"""
    image_name: str
    """without registry and version, as the local gateway knows it"""
    python: str
    """the image that the actor's is built on"""
    unused: tuple[str, ...]
    """keys of the file that mean nothing here"""


def read_reactor(environ: Mapping[str, str], file: Path = REACTOR_FILE) -> Reactor:
    """Read `reactor.rc`; each of its keys may be given in the environment as well, which wins.

    Raises:
        DeploymentError: there is none, or a value cannot be used.
    """
    given = _assignments(_text(file, f"cp {file}.sample {file}"), file)
    values = {**DEFAULTS, **given, **{key: environ[key] for key in DEFAULTS if key in environ}}
    if not values["REACTOR_NAME"]:
        message = f"{file}: REACTOR_NAME is empty"
        raise DeploymentError(message)
    organisation = values["DOCKER_HUB_ORG"].strip("/")
    image_name = values["DOCKER_IMAGE_TAG"]
    image = (
        f"{organisation}/" * bool(organisation) + f"{image_name}:{values['DOCKER_IMAGE_VERSION']}"
    )
    if not _IMAGE.fullmatch(image):
        message = (
            f"{file}: {image!r:.200} is not the name of an image: look at DOCKER_HUB_ORG, DOCKER_IMAGE_TAG "
            "and DOCKER_IMAGE_VERSION"
        )
        raise DeploymentError(message)
    if values["DOCKER_PYTHON"].startswith("-"):
        message = f"{file}: DOCKER_PYTHON is {values['DOCKER_PYTHON']!r:.200}, which is not the name of an image"
        raise DeploymentError(message)
    workers = values["REACTOR_WORKERS"]
    if not (workers.isdecimal() and len(workers) <= _WORKERS_DIGITS and int(workers) > 0):
        message = f"{file}: REACTOR_WORKERS is {workers!r:.50}: give a number from 1"
        raise DeploymentError(message)
    stateless = _switch(values, "REACTOR_STATELESS", file)
    if int(workers) > 1 and not stateless:
        message = f"{file}: an actor that is not stateless has one worker, not {workers}"
        raise DeploymentError(message)
    return Reactor(
        name=values["REACTOR_NAME"],
        description=values["REACTOR_DESCRIPTION"],
        alias=values["REACTOR_ALIAS"],
        workers=int(workers),
        stateless=stateless,
        privileged=_switch(values, "REACTOR_PRIVILEGED", file),
        use_uid=_switch(values, "REACTOR_USE_UID", file),
        image=image,
        image_name=image_name,
        python=values["DOCKER_PYTHON"],
        unused=tuple(sorted(set(given) - set(DEFAULTS))),
    )


def _assignments(text: str, file: Path) -> dict[str, str]:
    """Return what a shell would assign that reads these lines; nothing in them is expanded."""
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        message = f"{file}, line {number}: this is not KEY=VALUE; a value with blanks needs quotes"
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise DeploymentError(message) from error
        if words[:1] == ["export"]:
            del words[0]
        if not words:
            continue
        key, equals, value = words[0].partition("=")
        if len(words) > 1 or not equals or not _VARIABLE.fullmatch(key):
            raise DeploymentError(message)
        values[key] = value
    return values


def _switch(values: Mapping[str, str], key: str, file: Path) -> bool:
    try:
        return _SWITCH[values[key].lower()]
    except KeyError:
        message = f"{file}: {key} is {values[key]!r:.50}, which is neither 1 nor 0"
        raise DeploymentError(message) from None


class Secrets(dict[str, str]):
    """The environment that the actor is given, whose values are shown to nobody."""

    def hide(self, text: str) -> str:
        """Black the values out of a string, also their lines, and as JSON, Python and URLs have them."""
        parts = {part for value in self.values() for part in (value, *value.splitlines())}
        written = set().union(*(forms(part) for part in parts))
        long = [form for form in written if len(form) >= _SECRET_CHARACTERS]
        for form in sorted(long, key=len, reverse=True):
            text = text.replace(form, "***")
        return text


def read_secrets(file: Path = SECRETS_FILE) -> Secrets:
    """Read `secrets.json`.

    Raises:
        DeploymentError: there is none, others may read it, or it is not an object of strings.
    """
    remedy = f"install -m 600 {file}.sample {file}"
    text = _text(file, remedy)
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        message = f"{file} may be read by other users of this machine: chmod 600 {file}"
        raise DeploymentError(message)
    try:
        content: Any = read_json(text)
    except MessageError as error:
        message = f"{file}: not valid JSON ({error})"
        raise DeploymentError(message) from None
    if not isinstance(content, dict):
        message = f"{file}: does not hold an object of variables and their values"
        raise DeploymentError(message)
    for name, value in content.items():
        if not _VARIABLE.fullmatch(name):
            message = f"{file}: {name!r:.100} is not the name of a variable"
            raise DeploymentError(message)
        if not isinstance(value, str) or not value:
            reason = "empty: give it a value, or remove it" if value == "" else "not a string"
            message = f"{file}: the value of {name:.100} is {reason}"
            raise DeploymentError(message)
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            message = f"{file}: the value of {name:.100} has a surrogate, which is not a character"
            raise DeploymentError(message)
    return Secrets(content)


def _text(file: Path, remedy: str) -> str:
    try:
        # editors of other systems begin a file with a mark
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        message = f"there is no {file} here: {remedy}, and edit it"
        raise DeploymentError(message) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not valid UTF-8"
        message = f"{file} cannot be read: {reason}"
        raise DeploymentError(message) from error
