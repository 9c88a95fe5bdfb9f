"""`pipelinejobs`, also as `python -m pipelinejobs`."""

from __future__ import annotations

import sys

from pipelinejobs.app import main

if __name__ == "__main__":
    sys.exit(main())
