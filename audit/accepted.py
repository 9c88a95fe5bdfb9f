"""The findings that are accepted, each with its reason: `[[tool.audit.accepted]]` in pyproject.toml."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from audit import toml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass
class Accepted:
    """Findings that are not faults.

    Attributes:
        test: what is found, as its finder calls it: `B603`, a vulnerability's id, a kind of secret.
        files: where, as patterns; of a vulnerability, the packages.
        reason: why it is accepted.
        used: the patterns that something was found for.
    """

    test: str
    files: tuple[str, ...]
    reason: str
    used: set[str] = field(default_factory=set)

    def fits(self, test: str, file: str) -> bool:
        """Tell whether a finding is one of these, and remember it."""
        found = {pattern for pattern in self.files if test == self.test and fnmatch(file, pattern)}
        self.used |= found
        return bool(found)


class Acceptance:
    """All that is accepted.

    Args:
        folder: of the pyproject.toml.

    Raises:
        ValueError: an entry gives no reason.
    """

    def __init__(self, folder: Path) -> None:
        content = toml.read(folder / "pyproject.toml")
        entries = content.get("tool", {}).get("audit", {}).get("accepted", [])
        self._all = [Accepted(e["test"], tuple(e["files"]), e.get("reason", "")) for e in entries]
        for each in self._all:
            if not each.reason.strip():
                message = f"pyproject.toml accepts {each.test} without a reason: give one"
                raise ValueError(message)

    def has(self, test: str, file: str) -> bool:
        """Tell whether a finding is accepted."""
        return any(each.fits(test, file) for each in self._all)

    def unused(self, tests: Callable[[str], bool]) -> list[str]:
        """Return what is accepted and was not found, of the tests that have been made."""
        return [
            f"pyproject.toml accepts {each.test} in {pattern}, where it is no longer found: remove it"
            for each in self._all
            if tests(each.test)
            for pattern in each.files
            if pattern not in each.used
        ]
