"""That PostgreSQL can be written to is shown by writing to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from abaco.store.database import Database
from tests import services
from tests.conftest import NO_SERVICES, SERVICES

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)
MOUNT, UMOUNT = (shutil.which(name) or name for name in ("mount", "umount"))


def test_each_check_writes_and_no_table_grows(postgres: services.Postgres) -> None:
    written = sqlalchemy.text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    size = sqlalchemy.text("SELECT pg_database_size(current_database())")
    with contextlib.closing(Database(postgres.database())) as database:
        with database.read() as tx:
            before, sizes = tx.scalar(written), {tx.scalar(size)}
        for _ in range(3):
            database.check()
            with database.read() as tx:
                after = tx.scalar(written)
                sizes.add(tx.scalar(size))
            assert after > before
            before = after
        assert len(sizes) == 1


@pytest.fixture
def disk(postgres: services.Postgres) -> Iterator[Path]:
    """A small disk of PostgreSQL's."""
    folder = postgres.folder / "disk"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            [MOUNT, "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=False
        ).returncode
    ):
        pytest.skip("no file system can be mounted here")
    try:
        (folder / "tables").mkdir()
        shutil.chown(folder / "tables", "postgres", "postgres")
        yield folder
    finally:
        subprocess.run([UMOUNT, str(folder)], check=True)


def test_a_full_disk_is_noticed_though_a_row_could_be_changed(
    postgres: services.Postgres, disk: Path
) -> None:
    address = postgres.database()
    server = psycopg.connect(
        address.replace("+psycopg", "").rpartition("/")[0], dbname="postgres", autocommit=True
    )
    with contextlib.closing(server):
        server.execute(f"CREATE TABLESPACE small LOCATION '{disk / 'tables'}'".encode())
        server.execute("CREATE DATABASE small TABLESPACE small")
        with contextlib.closing(Database(f"{address.rpartition('/')[0]}/small")) as database:
            database.check()
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    continue
            with pytest.raises(sqlalchemy.exc.OperationalError, match="No space left on device"):
                database.check()
            filler.unlink()
            database.check()
        server.execute("DROP DATABASE small")
        server.execute("DROP TABLESPACE small")
