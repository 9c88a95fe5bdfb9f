"""An actor that reads a binary message as our actors do, and sends its size and hash as a result."""

from __future__ import annotations

import hashlib

from reactors.runtime import Reactor


def main() -> None:
    """Read the message twice, as code that does not know of each other may do."""
    reactor = Reactor()
    content = reactor.get_binary_message()
    same = content == reactor.get_binary_message()
    reactor.send_result(f"{len(content)} {hashlib.sha256(content).hexdigest()} {same}".encode())


if __name__ == "__main__":
    main()
