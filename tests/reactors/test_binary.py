from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactors import binary, message
from reactors.exceptions import MessageError
from tests.conftest import ROOT
from tests.reactors.conftest import MakeReactor

BINARY = {"_abaco_Content_Type": "application/octet-stream"}
LARGE = bytes(range(256)) * 4096
PATIENT = 60.0
WITHIN = 60.0


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "binary"
    os.mkfifo(path)
    return path


def environ(fifo: Path) -> dict[str, str]:
    return {binary.PATH_VARIABLE: str(fifo)}


@contextlib.contextmanager
def writing(
    fifo: Path, *parts: bytes, pause: float = 0.0, stays: bool = False
) -> Iterator[threading.Event]:
    """Write parts into a FIFO; what is given is set if the reader left before all was written.

    Args:
        fifo: opened as soon as somebody reads it.
        parts: written one after the other.
        pause: seconds between two of them.
        stays: keep the FIFO open until the block has ended.
    """
    ended, broken = threading.Event(), threading.Event()

    def write() -> None:
        try:
            with fifo.open("wb", buffering=0) as file:
                for part in parts:
                    rest = memoryview(part)
                    while rest:
                        rest = rest[file.write(rest) :]
                    ended.wait(pause)
                if stays:
                    ended.wait(WITHIN)
        except BrokenPipeError:
            broken.set()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield broken
    ended.set()
    thread.join(WITHIN)
    assert not thread.is_alive()


@contextlib.contextmanager
def filled(fifo: Path, content: bytes) -> Iterator[int]:
    """Fill a FIFO as Abaco does, which holds both ends open; what is given is its descriptor."""
    descriptor = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        assert os.write(descriptor, content) == len(content)
        yield descriptor
    finally:
        os.close(descriptor)


# Whole messages


@pytest.mark.parametrize("content", [b"x", b"\x00\xff\n", LARGE], ids=["one", "binary", "large"])
def test_a_message_is_read_to_the_end_of_the_file(fifo: Path, content: bytes) -> None:
    with writing(fifo, content):
        assert binary.read(environ(fifo)) == content


def test_parts_that_come_one_after_the_other_are_one_message(
    fifo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "PAUSE_SECONDS", PATIENT)
    parts = [LARGE[:100_000], b"-", LARGE[100_000:300_000], b"."]
    with writing(fifo, *parts, pause=0.05):
        assert binary.read(environ(fifo)) == b"".join(parts)


@pytest.mark.parametrize("content", [b"x", LARGE], ids=["one", "large"])
def test_a_writer_who_keeps_the_fifo_open_ends_the_message_by_silence(
    fifo: Path, content: bytes
) -> None:
    with writing(fifo, content, stays=True):
        start = time.monotonic()
        assert binary.read(environ(fifo)) == content
        assert binary.PAUSE_SECONDS <= time.monotonic() - start < WITHIN / 2


def test_what_was_written_before_anybody_read_is_the_message(fifo: Path) -> None:
    with filled(fifo, b"x" * 50_000):
        assert binary.read(environ(fifo)) == b"x" * 50_000


def test_a_writer_may_be_late(fifo: Path) -> None:
    with writing(fifo, b"", b"late", pause=0.6, stays=True):
        assert binary.read(environ(fifo)) == b"late"


def test_a_process_may_write_it(fifo: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(LARGE)
    code = (
        f"import shutil; shutil.copyfileobj(open({str(source)!r}, 'rb'), open({str(fifo)!r}, 'wb'))"
    )
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", code]) as writer:
        assert binary.read(environ(fifo)) == LARGE
    assert writer.returncode == 0


def test_abacos_path_counts_where_no_other_is_named(
    fifo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert binary.PATH == "/_abaco_binary_data"
    monkeypatch.setattr(binary, "PATH", str(fifo))
    for variables in ({}, {binary.PATH_VARIABLE: ""}):
        with filled(fifo, b"x"):
            assert binary.read(variables) == b"x"


# No message


def test_a_writer_who_writes_nothing_leaves_no_message(
    fifo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "FIRST_SECONDS", PATIENT)
    start = time.monotonic()
    with writing(fifo):
        assert binary.read(environ(fifo)) == b""
    assert time.monotonic() - start < PATIENT / 2


@pytest.mark.parametrize("opened", [False, True], ids=["no writer", "silent writer"])
def test_a_message_that_never_comes_is_given_up(fifo: Path, opened: bool) -> None:
    code = (
        "import time; from reactors import binary\n"
        f"start = time.monotonic(); print(binary.read({environ(fifo)!r}))\n"
        "print(binary.FIRST_SECONDS <= time.monotonic() - start)"
    )
    with filled(fifo, b"") if opened else contextlib.nullcontext():
        child = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENT,
            check=False,
        )
    assert (child.stdout, child.stderr) == ("b''\nTrue\n", "")


def test_where_there_is_no_fifo_there_is_no_message(tmp_path: Path) -> None:
    file, folder, listening = tmp_path / "file", tmp_path / "folder", tmp_path / "socket"
    file.write_text("no message")
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(listening))
        for path in (
            file,
            folder,
            listening,
            tmp_path / "nothing",
            file / "below",
            Path("/dev/zero"),
        ):
            assert binary.read(environ(path)) == b""


# What is refused


def test_the_largest_message_arrives_whole(fifo: Path) -> None:
    content = LARGE * 8
    assert len(content) == message.MAX_BYTES
    with writing(fifo, content):
        assert binary.read(environ(fifo)) == content


@pytest.mark.parametrize("more", [1, 10_000_000])
def test_a_larger_message_is_refused_and_its_writer_let_go(fifo: Path, more: int) -> None:
    with writing(fifo, b"x" * (message.MAX_BYTES + more)) as broken:
        with pytest.raises(MessageError, match=r"larger than 8,388,608 bytes: send a reference"):
            binary.read(environ(fifo))
        if more > 1:
            assert broken.wait(WITHIN)


def test_a_message_without_end_is_refused(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "PAUSE_SECONDS", PATIENT)
    monkeypatch.setattr(binary, "MAX_SECONDS", 0.5)
    start = time.monotonic()
    with (
        writing(fifo, *[b"x"] * 2_000, pause=0.05),
        pytest.raises(MessageError, match=r"no end after 0\.5 s: close the FIFO"),
    ):
        binary.read(environ(fifo))
    assert time.monotonic() - start < PATIENT / 2


def test_writers_who_come_and_go_while_it_is_read_are_no_error(fifo: Path) -> None:
    over = threading.Event()

    def come_and_go() -> None:
        # so Abaco tells those who open the FIFO late that nothing comes any more
        while not over.is_set():
            with contextlib.suppress(OSError):
                os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))

    writer = threading.Thread(target=come_and_go)
    writer.start()
    try:
        assert {binary.read(environ(fifo)) for _ in range(200)} == {b""}
    finally:
        over.set()
        writer.join()


def test_a_fifo_that_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(MessageError, match=r"in /.*x cannot be read: File name too long"):
        binary.read(environ(path))


# The message of a Reactor


def test_a_binary_message_is_the_message_of_a_reactor(
    fifo: Path, make_reactor: MakeReactor
) -> None:
    text = json.dumps({"name": "run", "note": "Grüße 🌮" * 50_000}, ensure_ascii=False)
    rx, _ = make_reactor({**environ(fifo), **BINARY})
    with writing(fifo, text.encode()):
        assert rx.message_dict == json.loads(text)
    assert rx.get_binary_message() == text.encode()
    assert rx.context.raw_message == text
    assert rx.context.raw_message_parse_log == ""
    assert rx.context.content_type == "application/octet-stream"


@pytest.mark.parametrize("variable", ["_abaco_Content_Type", "_abaco_Content-Type"])
def test_a_binary_message_is_known_by_both_names_of_the_content_type(
    fifo: Path, make_reactor: MakeReactor, variable: str
) -> None:
    rx, _ = make_reactor({**environ(fifo), variable: "application/octet-stream"})
    with filled(fifo, b'{"a": null}'):
        assert rx.message_dict == {"a": None}


@pytest.mark.parametrize("text", ["it is done", "{'a': None}", "1.10", "null", "[1, 2"])
def test_a_binary_message_may_be_a_text(fifo: Path, make_reactor: MakeReactor, text: str) -> None:
    rx, _ = make_reactor({**environ(fifo), **BINARY})
    with filled(fifo, text.encode()):
        assert rx.message == (text, False)


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "utf-16le"])
def test_a_byte_order_mark_tells_how_a_binary_message_is_encoded(
    fifo: Path, make_reactor: MakeReactor, charset: str
) -> None:
    rx, _ = make_reactor({**environ(fifo), **BINARY})
    mark = "\ufeff" if charset == "utf-16le" else ""
    with filled(fifo, f'{mark}{{"a": "ñ"}}'.encode(charset)):
        assert rx.message_dict == {"a": "ñ"}


def test_bytes_that_are_no_text_are_there_for_who_wants_bytes(
    fifo: Path, make_reactor: MakeReactor
) -> None:
    rx, _ = make_reactor({**environ(fifo), **BINARY})
    with filled(fifo, b"PK\x03\x04\xff"):
        assert rx.get_binary_message() == b"PK\x03\x04\xff"
    with pytest.raises(MessageError, match=r"not UTF-8 \(byte 4 is 0xff\): send JSON or text"):
        _ = rx.message
    assert rx.message_dict == {}
    assert rx.context.raw_message == ""
    assert "not UTF-8" in rx.context.raw_message_parse_log


def test_a_fifo_is_read_once(fifo: Path, make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor({**environ(fifo), **BINARY})
    with filled(fifo, b'{"a": 1}') as descriptor:
        assert rx.message_dict == {"a": 1}
        os.write(descriptor, b"later")
        assert rx.context.message_dict == {"a": 1}
        assert rx.get_binary_message() == b'{"a": 1}'
        assert os.read(descriptor, 10) == b"later"


def test_a_fifo_that_was_refused_is_not_read_again(
    fifo: Path, make_reactor: MakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message, "MAX_BYTES", 10)
    rx, _ = make_reactor({**environ(fifo), **BINARY})
    with filled(fifo, b"12345678901") as descriptor:
        with pytest.raises(MessageError, match="larger than 10 bytes"):
            _ = rx.message
        os.write(descriptor, b"later")
        for _ in range(2):
            with pytest.raises(MessageError, match="larger than 10 bytes"):
                rx.get_binary_message()
        assert rx.context.raw_message == ""
        assert "larger than 10 bytes" in rx.context.raw_message_parse_log
        assert os.read(descriptor, 10) == b"later"


@pytest.mark.parametrize(
    "variables",
    [
        {"_abaco_Content_Type": "application/json", "MSG": "{'a': 1}"},
        {"_abaco_Content_Type": "str", "_abaco_Content-Type": "application/octet-stream"},
        {"MSG": "{'a': 1}"},
        {"MSG": "", **BINARY},
        {"MSG": "{'a': 1}", **BINARY},
        {},
    ],
)
def test_a_fifo_is_not_read_where_the_message_is_not_binary(
    fifo: Path, make_reactor: MakeReactor, variables: dict[str, str]
) -> None:
    rx, _ = make_reactor({**environ(fifo), **variables})
    with filled(fifo, b"left alone") as descriptor:
        assert rx.context.raw_message == variables.get("MSG", "")
        assert rx.message_dict == ({"a": 1} if variables.get("MSG") else {})
        assert rx.get_binary_message() == b""
        assert os.read(descriptor, 20) == b"left alone"


def test_a_binary_message_that_is_missing_is_none(make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor(BINARY)
    assert rx.message is None
    assert rx.get_binary_message() == b""
    assert rx.context.raw_message == ""


def test_other_messages_do_not_pay_for_the_import() -> None:
    code = (
        "import sys; from reactors.runtime import Reactor\n"
        "rx = Reactor({'MSG': '{}'}); rx.context; rx.message; rx.get_binary_message()\n"
        "print('reactors.binary' in sys.modules)"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert child.stdout == "False\n"
