"""The file of a log: where it may be, and how it is opened.

`config.yml` is the operator's and may name any file. A variable may name one in the folders that the
configuration lists in `logs.folders`, and nothing in there leads out of them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactors.exceptions import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MODE = 0o666
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_INSIDE = os.O_NOFOLLOW | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LEADS_AWAY = (errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EISDIR)
"""What opening says of a link, of a file or link in place of a folder, of a pipe, of a folder."""


def resolve(logs: dict[str, Any], folder: Path) -> None:
    """Make the folders that a configuration file lists absolute.

    Args:
        logs: its section `logs`.
        folder: where the file is.

    Raises:
        SettingsError: `logs.folders` is not a list of folders.
    """
    folders = logs.get("folders")
    if folders is None:
        return
    if not isinstance(folders, list) or not all(isinstance(each, str) and each for each in folders):
        message = f"{folder / 'config.yml'}: logs.folders must be a list of folders"
        raise SettingsError(message)
    logs["folders"] = [os.path.normpath(folder.absolute() / each) for each in folders]


def allow_own(logs: dict[str, Any]) -> None:
    """Let the log be in the file that the configuration names itself, besides its folders."""
    file = logs.get("file")
    own = [str(_absolute(file))] if file and isinstance(file, str) else []
    logs["folders"] = [*(logs.get("folders") or ()), *own]


def check(logs: dict[str, Any]) -> None:
    """Check that the file of a section `logs` is where one may be, and make its path absolute.

    Raises:
        SettingsError: it is not.
    """
    file = logs.get("file")
    if not file or not isinstance(file, str):
        return
    logs["file"] = str(_absolute(file))
    # what else is wrong with it is logged when it is written to
    with contextlib.suppress(OSError):
        os.close(open_to_append(file, logs.get("folders")))


def open_to_append(file: str, allowed: Sequence[str] | None) -> int:
    """Open the file of a log, which is made where there is none; return its descriptor.

    Args:
        file: its path.
        allowed: absolute paths of folders, and of single files; None for everywhere.

    Raises:
        SettingsError: it is not in one of them.
        OSError: it cannot be opened.
    """
    path = _absolute(file)
    if allowed is None or str(path) in allowed:
        return os.open(path, _APPEND, _MODE)
    for folder in allowed:
        if ".." not in path.parts and path != Path(folder) and path.is_relative_to(folder):
            return _open_inside(folder, path.relative_to(folder).parts)
    message = (
        "logs.file: a variable can only name a file in one of the folders that logs.folders in "
        "config.yml lists"
    )
    raise SettingsError(message)


def _absolute(file: str) -> Path:
    return Path.cwd() / file


def _open_inside(folder: str, parts: Sequence[str]) -> int:
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(_opened(folder, _FOLDER))
            for part in parts[:-1]:
                place = stack.enter_context(_opened(part, _FOLDER | os.O_NOFOLLOW, place))
            descriptor = os.open(parts[-1], _APPEND | _INSIDE, _MODE, dir_fd=place)
        except OSError as error:
            if error.errno in _LEADS_AWAY:
                raise _irregular() from error
            raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _irregular()
    return descriptor


@contextlib.contextmanager
def _opened(path: str, flags: int, place: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags, dir_fd=place)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _irregular() -> SettingsError:
    message = (
        "logs.file: in the folders of logs.folders, only a plain file is written to, and no link"
    )
    return SettingsError(message)
