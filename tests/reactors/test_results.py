from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactors import results
from tests.conftest import ROOT
from tests.reactors.conftest import MakeReactor

NAME = "results.sock"
ENVIRON = {results.PATH_VARIABLE: NAME}


@pytest.fixture
def caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The platform's end of the results socket, in the working directory (its path is short)."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(NAME)
        listening.settimeout(5)
        yield listening


def test_a_result_arrives_as_one_datagram(caller: socket.socket) -> None:
    result = json.dumps({"uuid": "107", "state": "RUNNING", "note": "Grüße"}).encode()
    assert results.send(result, ENVIRON)
    assert caller.recv(200_000) == result


def test_the_largest_result_arrives_whole(caller: socket.socket) -> None:
    result = b"x" * 131_072
    assert results.send(result, ENVIRON)
    assert caller.recv(200_000) == result


def test_a_result_too_large_for_a_datagram_is_refused(caller: socket.socket) -> None:
    with pytest.raises(ValueError, match=r"131,073 bytes, and a datagram takes 131,072"):
        results.send(b"x" * 131_073, ENVIRON)
    caller.settimeout(0)
    with pytest.raises(BlockingIOError):
        caller.recv(1)


def test_a_reactor_sends_its_result(caller: socket.socket, make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor(ENVIRON)
    assert rx.send_result(b"{}")
    assert caller.recv(10) == b"{}"


def test_without_a_socket_nothing_is_sent(tmp_path: Path) -> None:
    assert not results.send(b"{}", {results.PATH_VARIABLE: str(tmp_path / NAME)})


def test_a_file_in_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("a file")
    assert not results.send(b"{}", {results.PATH_VARIABLE: str(tmp_path / NAME)})
    assert (tmp_path / NAME).read_text() == "a file"


def test_where_nobody_listens_any_more_nothing_is_sent(caller: socket.socket) -> None:
    caller.close()
    assert Path(NAME).is_socket()
    assert not results.send(b"{}", ENVIRON)


def test_a_socket_of_another_kind_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(NAME)
        listening.listen()
        assert not results.send(b"{}", ENVIRON)


def test_a_caller_who_reads_nothing_holds_nobody_up(caller: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.connect(NAME)
        filler.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                filler.send(b"x" * 10_000)
    code = (
        "from reactors import results\n"
        f"print(results.send(b'{{}}', {{{results.PATH_VARIABLE!r}: {str(Path(NAME).resolve())!r}}}))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (child.stdout, child.stderr) == ("False\n", "")
