from __future__ import annotations

import datetime
import errno
import logging
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from datacatalog.managers.pipelinejobs import StorageError, archive
from datacatalog.managers.pipelinejobs import storage as systems
from datacatalog.managers.pipelinejobs.exceptions import StorageRefusal
from datacatalog.settings import CatalogSettings
from tests.conftest import MEMORY
from tests.datacatalog.conftest import in_both_places
from tests.datacatalog.places import SYSTEM, Here, Place, Remote
from tests.datacatalog.storage import Storage
from tests.loopback import TOKEN

NAMES = [
    "/products/v2/tacos/a.csv",
    "/products/v2/tacos/b c.csv",
    "/products/v2/tacos/d#e?f%20g.csv",
    "/products/v2/tacos/ünï.csv",
    "/products/v2/tacos/deep/er/h.csv",
]


def opened(place: Place) -> systems.Storage:
    return systems.open_storage(SYSTEM, place.client, place.catalog)


def listed(place: Place, folder: str = "/products/v2/tacos") -> list[str]:
    return sorted(found.path for found in opened(place).walk(folder))


@pytest.mark.parametrize(
    "system", ["", ".", "..", "a/b", "a%2Fb", "a#", "a\n", "../../../../actors/v2/taco/nonces?x="]
)
def test_a_name_leads_to_no_other_address_of_the_platform(
    system: str, client: Any, storage: Storage
) -> None:
    catalog = CatalogSettings()
    for ask in (
        lambda: [*systems.open_storage(system, client, catalog).walk("/products/v2/tacos")],
        lambda: systems.root_of(system, client, catalog),
        lambda: archive.make(client, system, "/products/v2/tacos"),
        lambda: archive.clear(client, system, "/products/v2/tacos"),
    ):
        with pytest.raises(StorageRefusal, match="is not the name of a storage system"):
            ask()
    assert storage.requests == 0


@in_both_places
def test_all_files_of_a_folder_are_listed_and_read(place: Place) -> None:
    for number, name in enumerate(NAMES):
        place.put(name, b"tacos" * number)
    place.put("/products/v2/tacos2/a.csv", b"")
    place.put("/products/v2/z.csv", b"")
    storage = opened(place)
    found = {each.path: each for each in storage.walk("/products/v2//tacos/./")}
    assert sorted(found) == sorted(NAMES)
    for number, name in enumerate(NAMES):
        assert found[name].size == 5 * number
        assert b"".join(storage.read(found[name])) == b"tacos" * number
        moments = (found[name].created, found[name].modified)
        assert all(moment and moment.utcoffset() is not None for moment in moments)


@pytest.mark.skipif(not MEMORY.is_dir(), reason="a file system that takes any time is needed")
@pytest.mark.parametrize("seconds", [10**12, -(10**12)])
def test_a_file_whose_time_no_calendar_has_is_listed_and_read(seconds: int) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        place = Here(Path(folder))
        place.put(NAMES[0], b"tacos")
        file = next(path for path in Path(folder).rglob("a.csv"))
        os.utime(file, (0, seconds))
        assert file.stat().st_mtime == seconds
        storage = opened(place)
        (found,) = storage.walk(NAMES[0])
        assert found.modified is None
        assert b"".join(storage.read(found)) == b"tacos"


@in_both_places
def test_a_single_file_can_be_listed(place: Place) -> None:
    place.put(NAMES[0], b"tacos")
    assert listed(place, NAMES[0]) == [NAMES[0]]


@in_both_places
def test_a_folder_that_is_not_there_is_named(place: Place) -> None:
    with pytest.raises(StorageError, match=rf"^{SYSTEM}:/products/v2/tacos was not listed: "):
        listed(place)


@in_both_places
def test_a_file_that_cannot_be_read_is_named(place: Place) -> None:
    place.put(NAMES[0], b"tacos")
    found = next(iter(opened(place).walk(NAMES[0])))
    place.block(NAMES[0])
    with pytest.raises(StorageError, match=rf"^{SYSTEM}:{NAMES[0]} was not read: "):
        list(opened(place).read(found))


@in_both_places
def test_a_large_file_is_read_in_parts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "PART_BYTES", 1000)
    content = os.urandom(2500)
    place.put(NAMES[0], content)
    storage = opened(place)
    parts = list(storage.read(next(iter(storage.walk(NAMES[0])))))
    assert [len(part) for part in parts] == [1000, 1000, 500]
    assert b"".join(parts) == content


@in_both_places
def test_folders_without_end_are_given_up(place: Place) -> None:
    place.put("/products/v2/tacos" + "/a" * 70 + "/b.csv", b"")
    with pytest.raises(StorageError, match="is nested more than 64 levels deep"):
        listed(place)


@in_both_places
def test_folders_may_be_nested_as_deep_as_is_said(place: Place) -> None:
    name = "/products/v2/tacos" + "/a" * 64 + "/b.csv"
    place.put(name, b"")
    assert listed(place) == [name]


def test_there_has_to_be_a_way_to_the_files() -> None:
    with pytest.raises(StorageError) as refused:
        systems.open_storage(SYSTEM, None, CatalogSettings())
    assert str(refused.value) == (
        f"there is no way to the files of {SYSTEM}: give a client of the platform, "
        f"or set CATALOG_LOCAL_STORAGE={SYSTEM}=/folder"
    )


# Behind the files API


@pytest.mark.parametrize("most", [1, 2, 3, 250])
def test_a_server_may_give_fewer_entries_than_asked_for(most: int, remote: Remote) -> None:
    for number in range(7):
        remote.put(f"/products/v2/tacos/{number}.csv", b"")
    remote.storage.most_entries = most
    assert len(listed(remote)) == 7


def test_a_long_listing_is_asked_for_page_by_page(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systems, "PAGE", 3)
    for number in range(7):
        remote.put(f"/products/v2/tacos/{number}.csv", b"")
    assert len(listed(remote)) == 7


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_failure_names_the_status_and_no_token(status: int, remote: Remote) -> None:
    remote.storage.failing = status
    with pytest.raises(StorageError) as failed:
        listed(remote)
    assert str(failed.value).endswith(f"was not listed: HTTP status {status}")
    assert TOKEN not in str(failed.value)


def test_an_empty_file_is_not_asked_for(remote: Remote) -> None:
    remote.put(NAMES[0], b"")
    storage = opened(remote)
    found = next(iter(storage.walk(NAMES[0])))
    before = remote.storage.requests
    assert list(storage.read(found)) == []
    assert remote.storage.requests == before


def test_a_server_that_knows_no_ranges_gives_the_whole_file(remote: Remote) -> None:
    remote.storage.knows_ranges = False
    remote.put(NAMES[0], b"tacos" * 100)
    storage = opened(remote)
    assert b"".join(storage.read(next(iter(storage.walk(NAMES[0]))))) == b"tacos" * 100


def test_a_large_file_is_too_much_for_a_server_that_knows_no_ranges(remote: Remote) -> None:
    remote.storage.knows_ranges = False
    remote.put(NAMES[0], bytes(5 * 1024 * 1024))
    storage = opened(remote)
    with pytest.raises(StorageError, match=f"{NAMES[0]} was not read: "):
        list(storage.read(next(iter(storage.walk(NAMES[0])))))


@pytest.mark.parametrize("length", [0, 3, 9])
def test_a_file_that_changes_meanwhile_is_not_taken_for_read(length: int, remote: Remote) -> None:
    remote.put(NAMES[0], b"tacos")
    storage = opened(remote)
    found = next(iter(storage.walk(NAMES[0])))
    remote.put(NAMES[0], bytes(length))
    with pytest.raises(StorageError, match=f"{NAMES[0]} was not read: "):
        list(storage.read(found))


def test_the_dates_of_the_platform_are_kept(remote: Remote) -> None:
    remote.put(NAMES[0], b"tacos")
    found = next(iter(opened(remote).walk(NAMES[0])))
    expected = datetime.datetime(2020, 1, 2, 9, 4, 5, 678000, tzinfo=datetime.timezone.utc)
    assert (found.created, found.modified) == (expected, expected)


# In a folder


@pytest.mark.parametrize("way", ["/../outside", "/products/../../outside", "/../../../etc"])
def test_nothing_outside_the_folder_is_listed(way: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.csv").touch()
    here = Here(tmp_path / "inside")
    here.put("/a.csv", b"")
    with pytest.raises(StorageError, match="was not listed: No such file or directory"):
        listed(here, way)


def test_links_are_followed_to_files_inside_only(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.csv").touch()
    here = Here(tmp_path / "inside")
    here.put(NAMES[0], b"tacos")
    folder = here.folder / "products/v2/tacos"
    (folder / "link.csv").symlink_to(here.folder / NAMES[0].lstrip("/"))
    (folder / "secret.csv").symlink_to(tmp_path / "outside" / "secret.csv")
    (folder / "folder").symlink_to(tmp_path / "outside")
    (folder / "loop").symlink_to(folder)
    assert listed(here) == [NAMES[0], "/products/v2/tacos/link.csv"]


def test_what_is_no_file_is_not_listed(here: Here) -> None:
    here.put(NAMES[0], b"tacos")
    os.mkfifo(here.folder / "products/v2/tacos/pipe")
    (here.folder / "products/v2/tacos/broken").symlink_to("nowhere")
    assert listed(here) == [NAMES[0]]


def test_odd_links_are_left_out_with_a_warning(
    here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    here.put(NAMES[0], b"tacos")
    here.put(NAMES[4], b"tacos")
    folder = here.folder / "products/v2/tacos"
    for name, to in {"itself": "itself", "below": "a.csv/b", "long": "x" * 300}.items():
        (folder / name).symlink_to(to)
    with caplog.at_level(logging.WARNING):
        assert listed(here) == [NAMES[0], NAMES[4]]
    assert sorted(caplog.messages) == [
        f"{SYSTEM}:'/products/v2/tacos/{name}' is left out: {os.strerror(number)}"
        for name, number in (
            ("below", errno.ENOTDIR),
            ("itself", errno.ELOOP),
            ("long", errno.ENAMETOOLONG),
        )
    ]


def test_a_folder_below_that_cannot_be_listed_is_left_out_with_a_warning(
    here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    here.put(NAMES[0], b"tacos")
    here.put(NAMES[4], b"tacos")
    walk = opened(here).walk("/products/v2/tacos")
    # permissions do not bind root: the folder goes as soon as it is known
    first = next(walk)
    shutil.rmtree(here.folder / "products/v2/tacos/deep")
    with caplog.at_level(logging.WARNING):
        assert [first.path, *(found.path for found in walk)] == [NAMES[0]]
    assert caplog.messages == [
        f"{SYSTEM}:'/products/v2/tacos/deep' is left out: {os.strerror(errno.ENOENT)}"
    ]


def test_a_top_folder_that_is_an_odd_link_is_an_error(here: Here) -> None:
    (here.folder / "products/v2").mkdir(parents=True)
    (here.folder / "products/v2/tacos").symlink_to("tacos")
    with pytest.raises(StorageError, match=f"was not listed: {os.strerror(errno.ELOOP)}"):
        listed(here)


def test_a_file_that_is_gone_meanwhile_is_not_read(here: Here) -> None:
    here.put(NAMES[0], b"tacos")
    found = next(iter(opened(here).walk(NAMES[0])))
    (here.folder / NAMES[0].lstrip("/")).unlink()
    with pytest.raises(StorageError, match="was not read: No such file or directory"):
        list(opened(here).read(found))


def test_what_has_taken_the_place_of_a_file_is_not_read(here: Here) -> None:
    here.put(NAMES[0], b"tacos")
    place = here.folder / NAMES[0].lstrip("/")
    storage = opened(here)
    found = next(iter(storage.walk(NAMES[0])))

    def pipe() -> None:
        os.mkfifo(place)

    def other() -> None:
        place.write_bytes(b"TACOS")

    def longer() -> None:
        place.write_bytes(b"tacos and more")

    def folder() -> None:
        place.mkdir()

    kept = place.rename(place.with_suffix(".kept"))
    for replace in (pipe, other, longer, folder):
        replace()
        # in a thread of its own: who waits for a pipe waits forever
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(lambda: list(storage.read(found)))
            try:
                with pytest.raises(StorageError, match=f"^{SYSTEM}:{NAMES[0]} was not read: "):
                    reading.result(timeout=60)
            finally:
                if place.is_fifo() and not reading.done():
                    os.close(os.open(place, os.O_RDWR))
        place.rmdir() if place.is_dir() else place.unlink()
    kept.rename(place)
    assert b"".join(storage.read(found)) == b"tacos"


def test_a_file_that_is_written_while_it_is_read_is_not_taken_for_read(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systems, "PART_BYTES", 1000)
    here.put(NAMES[0], bytes(2500))
    storage = opened(here)
    parts = storage.read(next(iter(storage.walk(NAMES[0]))))
    assert len(next(parts)) == 1000
    with (here.folder / NAMES[0].lstrip("/")).open("ab") as stream:
        stream.write(bytes(10_000))
    with pytest.raises(StorageError, match=r"was not read: it is being changed$"):
        list(parts)
