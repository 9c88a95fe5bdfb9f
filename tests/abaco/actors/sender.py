"""An actor that sends a message to another, as its own message says, and answers what came of it."""

from __future__ import annotations

import json
import sys

from reactors.runtime import Reactor


def main() -> int:
    """Send by `rx.send_message` what `send` says, or call what `call` names of `rx.client.actors`."""
    rx = Reactor()
    order = rx.message_dict
    if "send" in order:
        answer = rx.send_message(**order["send"])
    else:
        answer = getattr(rx.client.actors, order["call"])(**order["with"])
    rx.send_result(json.dumps(answer).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
