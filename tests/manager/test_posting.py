"""Posts to hosts with several addresses."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests.abaco.running import basis
from tests.manager.receiving import Receiver
from tests.mounting import with_file

POST = """
import socket, sys
from manager.subscriptions.posting import CONNECT_SECONDS, Poster

connect, given = socket.create_connection, []

def noting(address, timeout):
    given.append(timeout)
    return connect(address, timeout=timeout)

socket.create_connection = noting
Poster(sys.argv[1], allow_private=True).post(b"{}", {})
assert len(given) == 2 and given[0] <= CONNECT_SECONDS / 2
"""


def test_an_address_that_does_not_answer_leaves_time_for_the_next(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 twice.example\n127.0.0.2 twice.example\n")
    within = with_file(hosts, "/etc/hosts")
    with (
        Receiver(address="127.0.0.2") as receiver,
        socket.create_server(("127.0.0.1", receiver.port), backlog=0) as full,
    ):
        # who connects after that gets no answer
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        url = f"http://twice.example:{receiver.port}/"
        command = [*within, sys.executable, "-c", POST, url]
        done = subprocess.run(command, env=basis(), capture_output=True, text=True, check=False)
        for each in waiting:
            each.close()
        assert done.returncode == 0, done.stderr
        assert len(receiver.told) == 1
