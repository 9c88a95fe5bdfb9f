"""The settings: `config.yml` in `/`, then in the working directory, then `_REACTOR_*` variables."""

from __future__ import annotations

import functools
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yamlfiles
from reactors import logfiles
from reactors.attrdict import AttrDict, merge
from reactors.exceptions import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE_NAME = "config.yml"
PREFIX = "_REACTOR_"
SECTIONS = ("logs", "slack", "mongodb", "pipelines", "authorization", "deliveries")
"""Sections that a variable can make where no file has them."""
ONLY_IN_FILES = ("logs", "folders")
_FOLDERS = (Path("/"), Path())
_MAX_KNOWN = 8
_TICK = 1_000_000_000
_known: dict[tuple[object, ...], AttrDict] = {}
"""What files and variables gave, by what their folders say of the files and by the variables; for a
process that handles many messages."""
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
_HARMLESS = {"false", "debug", "warning", "critical"}
_HARMLESS_NAMES = ("_LIFETIME", "_MONGODB_DATABASE")
_SECRET_NAME = re.compile("token|nonce|secret|password|authn|webhook", re.IGNORECASE)


def load(environ: Mapping[str, str], folders: Sequence[Path] | None = None) -> AttrDict:
    """Return the settings that the files in `folders` and the environment give; later ones win.

    Raises:
        SettingsError: a file is not a YAML mapping, a variable does not have its setting's type, or it names
            a log file outside the folders that the files allow.
    """
    paths = _paths(tuple(folders or _FOLDERS), str(Path.cwd()))
    stamps = [_stamp(path) for path in paths]
    variables = {
        name: text for name, text in environ.items() if name.startswith(PREFIX) and name != PREFIX
    }
    source = (*map(str, paths), *stamps, *variables.items())
    known = _known.get(source)
    if known is None:
        known = _load(paths, variables)
        # another change of a file within the same tick of the clock would leave no mark
        is_old = all(time.time_ns() - stamp.changed > _TICK for stamp in stamps if stamp)
        # the file of a log is looked at each time
        if is_old and not (known.get("logs") or {}).get("file"):
            if len(_known) >= _MAX_KNOWN:
                _known.clear()
            _known[source] = known
    copied: AttrDict = _copied(known)
    return copied


@functools.lru_cache(maxsize=_MAX_KNOWN)
def _paths(folders: tuple[Path, ...], here: str) -> list[Path]:
    """Return the files in folders, of which some are relative to the working directory."""
    return [Path(here, folder, FILE_NAME) for folder in folders]


class _Stamp(NamedTuple):
    """What a folder says of a file; it is another one when the file has changed."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def _stamp(path: Path) -> _Stamp | None:
    """Return the stamp of a file; None where there is no such file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    return _Stamp(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def _unreadable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(f"{path}: cannot be read: {error.strerror}")


def _load(paths: Sequence[Path], variables: Mapping[str, str]) -> AttrDict:
    settings: dict[str, Any] = {}
    for path in paths:
        content = _read(path)
        if isinstance(content.get("logs"), dict):
            logfiles.resolve(content["logs"], path.parent)
        merge(settings, content)
    if isinstance(settings.get("logs"), dict):
        logfiles.allow_own(settings["logs"])
    for variable, text in variables.items():
        _override(settings, variable, text)
    if isinstance(settings.get("logs"), dict):
        logfiles.check(settings["logs"])
    return AttrDict(settings)


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parse(path, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        message = f"{path}: not valid UTF-8"
        raise SettingsError(message) from error


def _copied(value: Any) -> Any:
    """Return a copy of settings, which whoever gets it may change."""
    if isinstance(value, AttrDict):
        copied = AttrDict()
        for key, each in value.items():
            copied[key] = each if type(each) is str else _copied(each)
        return copied
    if isinstance(value, list):
        return [_copied(each) for each in value]
    # one of YAML's sets; nothing else that it knows can be changed
    return value.copy() if isinstance(value, set) else value


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        content = yamlfiles.load(text)
    except yamlfiles.ReadingError as error:
        message = f"{path}{error}"
        raise SettingsError(message) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        message = f"{path}: holds a {type(content).__name__}, not sections with keys"
        raise SettingsError(message)
    return content


def _override(settings: dict[str, Any], variable: str, text: str) -> None:
    name = variable.removeprefix(PREFIX).lower()
    section, _, key = name.partition("_")
    if section in SECTIONS and settings.get(section) is None:
        settings[section] = {"folders": []} if section == "logs" else {}
    if name not in settings and isinstance(settings.get(section), dict) and key:
        if (section, key) == ONLY_IN_FILES:
            message = f"{variable}: {section}.{key} can only be set in {FILE_NAME}"
            raise SettingsError(message)
        settings, name = settings[section], key
    settings[name] = _convert(variable, text, settings.get(name))


def _convert(variable: str, text: str, present: Any) -> Any:
    if isinstance(present, bool):
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
        # the value may be a secret that was set by mistake: it is not repeated
        message = f"{variable} must be true or false"
        raise SettingsError(message)
    if isinstance(present, int | float):
        try:
            return float(text) if "." in text or isinstance(present, float) else int(text)
        except ValueError:
            message = f"{variable} must be a number"
            raise SettingsError(message) from None
    if isinstance(present, list):
        if text.lstrip().startswith("["):
            return _parse_list(variable, text)
        return [part for part in (part.strip() for part in text.split(",")) if part]
    return text


def _parse_list(variable: str, text: str) -> list[Any]:
    try:
        value = yamlfiles.load(text)
    except yamlfiles.ReadingError:
        value = None
    if not isinstance(value, list):
        message = f"{variable} must be a list: its members with commas between, or in brackets"
        raise SettingsError(message)
    return value


def secrets(settings: Mapping[str, Any], environ: Mapping[str, str]) -> set[str]:
    """Return the values that must never reach a log."""
    found = {text for name, text in environ.items() if _is_secret(name)}
    _collect(settings, found)
    # a switch or a level is not a secret, and to black it out would spoil every line
    return found - _HARMLESS


_HARMLESS |= {text.upper() for text in _HARMLESS}


# a warm process meets the same names with every message
@functools.lru_cache(maxsize=512)
def _is_secret(variable: str) -> bool:
    """Tell whether the value of a variable is taken for a secret."""
    is_named_so = variable.startswith(PREFIX) or _is_named_secret(variable)
    return is_named_so and not variable.endswith(_HARMLESS_NAMES)


@functools.lru_cache(maxsize=512)
def _is_named_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _collect(settings: Mapping[str, Any], found: set[str]) -> None:
    for key, value in settings.items():
        if isinstance(value, dict):
            _collect(value, found)
        elif isinstance(value, str) and _is_named_secret(str(key)):
            found.add(value)
