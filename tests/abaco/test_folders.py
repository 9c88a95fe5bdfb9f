"""The lock of a data folder."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from abaco.folders import own_folder, running_address
from abaco.settings import Settings, load


def look(settings: Settings) -> None:
    while True:
        running_address(settings)


def test_who_looks_for_a_gateway_keeps_none_from_starting(tmp_path: Path) -> None:
    settings = load(tmp_path / "abaco.yml")
    with own_folder(settings):
        pass
    looking = multiprocessing.Process(target=look, args=(settings,), daemon=True)
    looking.start()
    try:
        for _ in range(100):
            with own_folder(settings):
                pass
    finally:
        looking.kill()
        looking.join()
