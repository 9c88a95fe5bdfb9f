"""`pipelinejobs`, also as `python -m pipelinejobs`."""

from __future__ import annotations

from pipelinejobs.app import run

if __name__ == "__main__":
    run()
