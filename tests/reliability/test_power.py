"""Row 17: the power fails; what was acknowledged is on the disk, not only on its way there."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.abaco.running import NOWHERE, PROBE, RunningGateway
from tests.reliability.soak import many, note

COMPILER = shutil.which("cc")
SOURCE = Path(__file__).with_name("synced.c")
CUTS = many(20, 500)
SENDERS = 4


@pytest.fixture
def synced(tmp_path: Path) -> Path:
    """The folder of what is on the disk for certain, of each file as of its last synchronisation."""
    folder = tmp_path / "synced"
    folder.mkdir()
    return folder


@pytest.fixture
def gateway(tmp_path: Path, synced: Path) -> Iterator[RunningGateway]:
    """A gateway that keeps there what it has synchronised."""
    library = tmp_path / "synced.so"
    assert COMPILER
    build = [COMPILER, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(build, check=True)
    environ = {"LD_PRELOAD": str(library), "SYNCED": str(synced)}
    with RunningGateway(tmp_path, {**PROBE}, environ=environ) as running:
        yield running


@pytest.mark.skipif(
    sys.platform != "linux" or COMPILER is None, reason="it needs Linux and a compiler"
)
def test_what_was_acknowledged_when_the_power_fails_is_on_the_disk(
    gateway: RunningGateway, synced: Path, tmp_path: Path
) -> None:
    accepted: set[str] = set()
    ended: dict[str, str] = {}
    with gateway.client() as ada, ThreadPoolExecutor(SENDERS) as senders:
        waiting, working = ada.actor(NOWHERE), ada.actor("warm")

        def send(_: int) -> str:
            return ada.submit(waiting, {"taco": "." * 2000})

        for number in range(CUTS):
            accepted.update(senders.map(send, range(SENDERS)))
            answer = ada.ask(working, {"results": [str(number)]})
            assert answer.content == str(number).encode()
            (execution,) = ada.result("GET", f"/{working}/executions")["executions"][-1:]
            ended[execution["id"]] = "COMPLETE"
            # nothing is synchronised while it is looked at what is
            os.kill(gateway.pid, signal.SIGSTOP)
            try:
                cut = shutil.copytree(synced, tmp_path / "cut")
            finally:
                os.kill(gateway.pid, signal.SIGCONT)
            with contextlib.closing(sqlite3.connect(cut / "abaco.db")) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                found = dict(database.execute("SELECT id, status FROM executions"))
                messages = database.execute(
                    "SELECT id FROM executions JOIN messages USING (sequence)"
                )
                assert {row[0] for row in messages} >= accepted
            assert found.keys() >= accepted
            assert {each: found.get(each) for each in ended} == ended
            shutil.rmtree(cut)
    note(17, "power cuts right after an acknowledgement", CUTS)
