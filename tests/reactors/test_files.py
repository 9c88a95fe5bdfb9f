"""Files and permissions, through agavepy against a files API on 127.0.0.1."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from reactors import agaveutils
from reactors.agaveutils import files, recursive
from reactors.client import MAX_BYTES, make_client
from reactors.exceptions import PlatformError, SettingsError
from tests.loopback import TOKEN
from tests.reactors.conftest import MakeReactor
from tests.reactors.files_api import FilesApi, Reply

SYSTEM = "data-sd2e-community"


@pytest.fixture
def api() -> Iterator[FilesApi]:
    with FilesApi() as api:
        api.put(SYSTEM, "/uploads/a.txt", b"content of a")
        yield api


@pytest.fixture
def client(api: FilesApi) -> Any:
    return make_client(api.environ)


# Directories


def test_a_directory_is_made_with_those_above_it(api: FilesApi, client: Any) -> None:
    assert agaveutils.agave_mkdir(client, "x/y z", SYSTEM, "/uploads") is True
    assert {f"{SYSTEM}:/uploads/x", f"{SYSTEM}:/uploads/x/y z"} <= api.files.keys()


def test_a_directory_is_made_below_the_root_by_default(api: FilesApi, client: Any) -> None:
    agaveutils.agave_mkdir(client, "products/v2", SYSTEM, sync=True)
    assert f"{SYSTEM}:/products/v2" in api.files


def test_a_directory_that_is_not_made_is_named(api: FilesApi, client: Any) -> None:
    api.failing["media"] = Reply(403)
    with pytest.raises(PlatformError) as caught:
        agaveutils.agave_mkdir(client, "x", SYSTEM, "/uploads")
    assert str(caught.value) == (
        "the directory x below data-sd2e-community:/uploads was not made: "
        "HTTP status 403: as the platform says"
    )


# Downloads


def test_a_file_is_downloaded(client: Any, tmp_path: Path) -> None:
    target = str(tmp_path / "b.txt")
    assert agaveutils.agave_download_file(client, "/uploads/a.txt", SYSTEM, target) == target
    assert Path(target).read_bytes() == b"content of a"


def test_a_file_is_downloaded_into_the_working_directory_by_default(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert agaveutils.agave_download_file(client, "/uploads/a.txt", SYSTEM) == "downloaded"
    assert (tmp_path / "downloaded").read_bytes() == b"content of a"
    assert [path.name for path in tmp_path.iterdir()] == ["downloaded"]


def test_a_large_file_is_downloaded_without_being_in_memory(
    api: FilesApi, client: Any, tmp_path: Path
) -> None:
    size = 8 * MAX_BYTES
    api.put(SYSTEM, "/uploads/large.bin", bytes(size))
    tracemalloc.start()
    agaveutils.agave_download_file(client, "/uploads/large.bin", SYSTEM, str(tmp_path / "large"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "large").stat().st_size == size
    # the server, which is in this process too, sends it as one piece that it has already
    assert most < size / 4


def test_after_a_download_answers_are_read_as_before(
    api: FilesApi, client: Any, tmp_path: Path
) -> None:
    agaveutils.agave_download_file(client, "/uploads/a.txt", SYSTEM, str(tmp_path / "b"))
    assert client.all.http_client.session.stream is False
    (entry,) = client.files.list(systemId=SYSTEM, filePath="uploads/a.txt")
    assert entry["path"] == "/uploads/a.txt"


@pytest.mark.parametrize("system", ["../../../../actors/v2/x?y=", "a/b", "data#"])
def test_a_storage_system_leads_to_no_other_address(
    api: FilesApi, client: Any, tmp_path: Path, system: str
) -> None:
    (tmp_path / "a").write_text("content")
    for ask in (
        lambda: agaveutils.agave_mkdir(client, "b", system, "/uploads"),
        lambda: agaveutils.agave_download_file(
            client, "/uploads/a.txt", system, str(tmp_path / "b")
        ),
        lambda: agaveutils.agave_upload_file(client, "/uploads", system, str(tmp_path / "a")),
        lambda: agaveutils.wait_for_file_status(client, "/uploads/a.txt", system, 0.1),
    ):
        with contextlib.suppress(PlatformError):
            ask()
    assert len(api.requests) >= 4
    assert all(f"/system/{quote(system, safe='')}/" in target for _, target in api.requests)


@pytest.mark.parametrize("path", ["/uploads/é ?#%41&x=1.txt", "/uploads/a+b.txt"])
def test_a_path_may_have_any_character(
    api: FilesApi, client: Any, tmp_path: Path, path: str
) -> None:
    api.put(SYSTEM, path, b"yes")
    target = tmp_path / "b"
    agaveutils.agave_download_file(client, path, SYSTEM, str(target))
    assert target.read_bytes() == b"yes"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/uploads/none.txt", "HTTP status 404: as the platform says"),
        ("/uploads", "HTTP status 400: as the platform says"),
    ],
)
def test_a_file_that_is_not_downloaded_is_named_and_leaves_nothing(
    client: Any, tmp_path: Path, path: str, problem: str
) -> None:
    target = tmp_path / "b.txt"
    target.write_text("before")
    with pytest.raises(PlatformError) as caught:
        agaveutils.agave_download_file(client, path, SYSTEM, str(target))
    assert str(caught.value) == f"data-sd2e-community:{path} was not downloaded: {problem}"
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


@contextlib.contextmanager
def broken_server(length: int, content: bytes) -> Iterator[str]:
    """Answer one request with less than is promised; give the URL."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            connection.sendall(head.encode() + content)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with broken_server(1000, b"half") as url:
        client = make_client({"_abaco_api_server": url, "_abaco_access_token": TOKEN})
        with pytest.raises(PlatformError, match=r"/a was not downloaded: \w+Error$"):
            agaveutils.agave_download_file(client, "/a", SYSTEM, str(tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []


# Uploads


@pytest.mark.parametrize("content", [b"tacos\n", b"", bytes(range(256)) * 100])
def test_a_file_is_uploaded_under_its_name(
    api: FilesApi, client: Any, tmp_path: Path, content: bytes
) -> None:
    source = tmp_path / "salsa verde.bin"
    source.write_bytes(content)
    assert agaveutils.agave_upload_file(client, "/uploads", SYSTEM, str(source), sync=True) is True
    assert api.files[f"{SYSTEM}:/uploads/salsa verde.bin"] == content


@pytest.mark.long
def test_an_upload_may_take_longer_than_an_answer(api: FilesApi, tmp_path: Path) -> None:
    source = tmp_path / "large.bin"
    source.write_bytes(bytes(64 * 1024 * 1024))
    client = make_client(api.environ, timeout=2)
    api.pause = 0.8
    began = time.monotonic()
    agaveutils.agave_upload_file(client, "/uploads", SYSTEM, str(source))
    assert time.monotonic() - began > 2
    assert len(api.files[f"{SYSTEM}:/uploads/large.bin"] or b"") == 64 * 1024 * 1024


def test_a_local_file_that_is_not_there_is_an_error(
    api: FilesApi, client: Any, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        agaveutils.agave_upload_file(client, "/uploads", SYSTEM, str(tmp_path / "none"))
    assert api.requests == []


def test_an_upload_to_a_directory_that_is_not_there_is_an_error(
    client: Any, tmp_path: Path
) -> None:
    source = tmp_path / "b.txt"
    source.write_text("tacos")
    with pytest.raises(PlatformError, match=r"^b\.txt was not uploaded to .*:/none: .* 404"):
        agaveutils.agave_upload_file(client, "/none", SYSTEM, str(source))


# Waiting


@pytest.mark.parametrize("status", files.DONE)
def test_a_file_is_waited_for(api: FilesApi, client: Any, status: str) -> None:
    api.histories[f"{SYSTEM}:/uploads/a.txt"] = ["STAGING_QUEUED", "STAGING", status]
    assert agaveutils.wait_for_file_status(client, "/uploads/a.txt", SYSTEM) is True
    assert len(api.requests) == 3


def test_a_file_that_comes_later_is_waited_for(api: FilesApi, client: Any) -> None:
    def come() -> None:
        while len(api.requests) < 2:
            time.sleep(0.01)
        api.put(SYSTEM, "/uploads/b.txt", b"")

    thread = threading.Thread(target=come)
    thread.start()
    assert agaveutils.wait_for_file_status(client, "/uploads/b.txt", SYSTEM) is True
    thread.join()
    assert len(api.requests) > 2


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/uploads/a.txt", "its last status was STAGING_QUEUED"),
        ("/uploads/none", "it has no status"),
    ],
)
def test_a_file_that_does_not_come_is_given_up(
    api: FilesApi, client: Any, path: str, seen: str
) -> None:
    api.histories[f"{SYSTEM}:{path}"] = ["STAGING_QUEUED"]
    began = time.monotonic()
    with pytest.raises(PlatformError) as caught:
        agaveutils.wait_for_file_status(client, path, SYSTEM, timeOut=0.4)
    assert str(caught.value) == f"data-sd2e-community:{path} was not there after 0.4 s: {seen}"
    assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize("status", files.FAILED)
def test_a_file_that_failed_is_not_waited_for(api: FilesApi, client: Any, status: str) -> None:
    api.histories[f"{SYSTEM}:/uploads/a.txt"] = [status]
    with pytest.raises(PlatformError, match=f"is not there: its status is {status}"):
        agaveutils.wait_for_file_status(client, "/uploads/a.txt", SYSTEM)


def test_a_platform_that_does_not_tell_is_not_waited_for(api: FilesApi, client: Any) -> None:
    api.failing["history"] = Reply(403)
    with pytest.raises(PlatformError, match="the status could not be read: HTTP status 403"):
        agaveutils.wait_for_file_status(client, "/uploads/a.txt", SYSTEM)


def test_the_newest_entry_counts_whatever_their_order(api: FilesApi, client: Any) -> None:
    entries = [
        {"status": "STAGING_COMPLETED", "created": "2026-11-23T10:00:09.000-06:00"},
        {"status": "STAGING_QUEUED", "created": "2026-11-23T10:00:01.000-06:00"},
    ]
    api.failing["history"] = Reply(200, entries)
    assert agaveutils.wait_for_file_status(client, "/uploads/a.txt", SYSTEM, timeOut=0) is True


# Trees


@pytest.fixture
def tree(api: FilesApi) -> set[str]:
    """A directory with more in it than is listed at once; return all paths."""
    paths = {f"/products/v2/many/f {number:03}.csv" for number in range(250)}
    paths |= {"/products/v2/b/c/d.csv", "/products/v2/b/é?#.csv"}
    for path in paths:
        api.put(SYSTEM, path, b"")
    api.put(SYSTEM, "/products/v2/empty", None)
    directories = {"", "/many", "/b", "/b/c", "/empty"}
    return paths | {f"/products/v2{directory}" for directory in directories}


def test_a_tree_is_walked_whole_and_each_once(api: FilesApi, client: Any, tree: set[str]) -> None:
    api.put(SYSTEM, "/products/v20/x.csv", b"")
    for root in ("/products/v2", "products/v2/"):
        found = list(recursive.walk(client, SYSTEM, root))
        assert sorted(found) == sorted(tree)


def test_a_file_is_a_tree_of_one(client: Any) -> None:
    assert list(recursive.walk(client, SYSTEM, "/uploads/a.txt")) == ["/uploads/a.txt"]


def test_a_permission_is_granted_on_all_of_a_tree(
    api: FilesApi, tree: set[str], make_reactor: MakeReactor
) -> None:
    rx, _ = make_reactor(api.environ)
    granted = rx.pemagent.grant(SYSTEM, "/products/v2", "tacobot", "READ_WRITE")
    assert sorted(granted) == sorted(tree)
    body = {"username": "tacobot", "permission": "READ_WRITE", "recursive": False}
    assert sorted(path for path, _ in api.grants) == sorted(tree)
    assert all(given == body for _, given in api.grants)


def test_by_default_everybody_may_read(api: FilesApi, make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor(api.environ)
    rx.pemagent.grant(system=SYSTEM, abspath="/uploads/a.txt")
    assert api.grants == [
        ("/uploads/a.txt", {"username": "world", "permission": "READ", "recursive": False})
    ]


@pytest.mark.parametrize(
    ("failing", "problem"),
    [
        (
            "/pems/system/data-sd2e-community/uploads/a.txt",
            "READ on data-sd2e-community:/uploads/a.txt was not granted to world: HTTP status 500",
        ),
        ("/listings/", "data-sd2e-community:/uploads was not listed: HTTP status 500"),
    ],
)
def test_what_is_not_granted_is_named(
    api: FilesApi, make_reactor: MakeReactor, failing: str, problem: str
) -> None:
    api.failing[failing] = Reply(500)
    rx, _ = make_reactor(api.environ)
    with pytest.raises(PlatformError) as caught:
        rx.pemagent.grant(SYSTEM, "/uploads")
    assert str(caught.value) == f"{problem}: as the platform says"
    assert [path for path, _ in api.grants] == ["/uploads"]


def test_nothing_is_granted_without_an_access_token(make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor({"_abaco_api_server": "https://api.example.org"})
    with pytest.raises(SettingsError, match=r"create the actor with .*token"):
        rx.pemagent.grant(SYSTEM, "/uploads")
