"""`python -m abaco`, which Ctrl-C ends without a trace while it is being loaded, too."""

from __future__ import annotations

import sys

from abaco import streams
from abaco.loading import INTERRUPTED, ended_quietly, uncollected

if __name__ == "__main__":
    with ended_quietly(), uncollected():
        from abaco.command_line import main
    streams.prepare()
    try:
        code = main()
    except KeyboardInterrupt:
        # before it could begin, or after its end
        code = INTERRUPTED
    sys.exit(code)
