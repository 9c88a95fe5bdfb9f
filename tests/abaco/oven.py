"""An actor that depends on something that may be away, for tests of what becomes of its messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.abaco.running import PROBE

PATIENT: dict[str, Any] = {
    **PROBE,
    "patient": {
        **PROBE["warm"],
        "ordered_by": "order",
        "places": {"order": ["about.order"]},
        "idempotency": "event_id",
        "unavailable": [75],
    },
}
"""The images of a gateway, with one more: `patient`, whose messages are tried again."""


class Oven:
    """What an actor depends on, and what it has done with it."""

    def __init__(self, folder: Path) -> None:
        self.cold, self._done = folder / "cold", folder / "done"

    def orders(self, what: str, order: str = "1") -> dict[str, object]:
        """Return a message that cannot be handled while the oven is cold."""
        return {
            "order": order,
            "away while": str(self.cold),
            "append": [str(self._done), f"{what}\n"],
        }

    def done(self) -> list[str]:
        return self._done.read_text().split() if self._done.exists() else []
