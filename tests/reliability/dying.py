"""A dispatcher that is killed at a named point: before or after one of its steps.

python -m tests.reliability.dying "Untold.advance after" 2
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from datacatalog.linkedstores.pipelinejob.untold import Untold
from datacatalog.linkedstores.statistics.tally import Tally
from datacatalog.linkedstores.subscriptions import Subscriptions
from manager.subscriptions.webhook import Webhook
from pipelinejobs import app

_STEPS: dict[str, type] = {kind.__name__: kind for kind in (Subscriptions, Tally, Untold, Webhook)}


def die_at(point: str, count: int) -> None:
    """Kill this process at a step, when it is done for so many times."""
    step, _, moment = point.partition(" ")
    name, _, method = step.partition(".")
    kind = _STEPS[name]
    original, left = getattr(kind, method), [count]

    def dying(self: Any, *arguments: Any) -> Any:
        # to note that nobody is behind does not count as a step
        if method != "leave_behind" or arguments[0]:
            left[0] -= 1
        if left[0] == 0 and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = original(self, *arguments)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(kind, method, dying)


if __name__ == "__main__":
    die_at(sys.argv[1], int(sys.argv[2]))
    app.main(["dispatch"])
