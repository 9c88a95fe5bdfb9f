"""Arguments that older callers give, and that count for nothing here."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(__name__)


def warn(taker: str, others: Mapping[str, Any]) -> None:
    """Name in the log the arguments that are not used."""
    if others:
        _log.warning("%s takes no %s", taker, ", ".join(map(repr, sorted(others))))
