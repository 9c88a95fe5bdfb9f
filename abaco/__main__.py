"""`python -m abaco`, which Ctrl-C ends without a trace while it is being loaded, too."""

from __future__ import annotations

import sys

from abaco.loading import ended_quietly

if __name__ == "__main__":
    with ended_quietly():
        from abaco.command_line import main
    sys.exit(main())
