"""`export` and `import`: the whole catalog as lines of JSON."""

from __future__ import annotations

import fcntl
import json
import os
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from datacatalog.linkedstores.statistics.tally import Tally
from datacatalog.linkedstores.transfer import BUCKETS, Item, Transfer
from pipelinejobs import output
from pipelinejobs.commands import common
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.exceptions import FAILED, CommandError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelinejobs.backend import Backend

FORMAT = 1
_BATCH_ITEMS, _BATCH_BYTES = 500, 8 * 1024 * 1024
_MAX_SHOWN = 20

File = Annotated[
    Path, typer.Argument(callback=common.file_named, help="Of newline-delimited JSON.")
]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "export", "export ~/catalog.ndjson")(export)
    command(group, "import", "import ~/catalog.ndjson")(import_)


class _Written(NamedTuple):
    """How far an export has come."""

    size: int
    """what of the file is kept"""
    items: int
    last: Item | None
    complete: bool


_NOTHING = _Written(0, 0, None, complete=False)


def export(
    context: typer.Context,
    file: File,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a complete export, once the new one is whole.")
    ] = False,
) -> None:
    """Write the whole catalog to a file; after an interruption, the same command goes on.

    Jobs with their histories, pipelines, refused events, the audit log, subscriptions, saved views, and
    whatever else of the catalog is there. Jobs that are made or moved while it runs may be in it or not.
    """
    _check_kind(file)
    backend, written = backend_of(context), _inspect(file)
    if not written.complete:
        count = _export(backend, file, written)
    elif force:
        # the former one is kept until this one is whole
        part = file.with_name(f"{file.name}.part")
        written = _inspect(part)
        if written.complete:
            part.unlink()
            written = _NOTHING
        count = _export(backend, part, written)
        part.replace(file)
    else:
        message = f"{file} holds a complete export: name another file, or replace it with --force"
        raise CommandError(message)
    output.result(f"documents: {count:,}, in {file}")


def _export(backend: Backend, file: Path, written: _Written) -> int:
    """Write what a file does not have yet; return how many documents it has then."""
    transfer = Transfer(backend.mongodb)
    if written.items:
        output.note(f"going on behind {written.items:,} documents in {file}")
    count = written.items
    bar, task = output.progress(transfer.count())
    with (
        bar,
        output.writing(file, "; when that is fixed, the same command goes on"),
        _open(file) as stream,
    ):
        stream.truncate(written.size)
        stream.seek(written.size)
        if not written.size:
            _write(stream, _header(backend))
        bar.update(task, completed=count)
        for item in transfer.dump(written.last):
            stream.write(item.to_json().encode() + b"\n")
            if item.collection != BUCKETS:
                count += 1
                bar.advance(task)
        _write(stream, {"end": True, "documents": count})
        stream.flush()
        os.fsync(stream.fileno())
    return count


def import_(context: typer.Context, file: File) -> None:
    """Read an export into the catalog; what is there already stays as it is.

    After an interruption, the same command goes on. Exit code 1 if the file is not complete, or a
    document could not be added because another one has its uuid or identifier.
    """
    _check_kind(file)
    backend = backend_of(context)
    transfer = Transfer(backend.mongodb)
    added = known = read = 0
    conflicts: list[str] = []
    documents = _documents(file)
    bar, task = output.progress(documents)
    with bar:
        transfer.prepare()
        for batch in _batches(file):
            loaded = transfer.load(batch)
            added, known = added + loaded.added, known + loaded.known
            conflicts += loaded.conflicts
            count = sum(item.collection != BUCKETS for item in batch)
            read += count
            bar.advance(task, count)
    for text in conflicts[:_MAX_SHOWN]:
        output.note(text)
    if conflicts:
        output.note("what is there stays: to restore an export, import it into an empty database")
    left = len(conflicts)
    # what has come in may have been handed out, and so counted, where it comes from
    Tally(backend.jobs).forget()
    output.result(f"added: {added:,}, there already: {known:,}, in conflict: {left:,}")
    lacks = documents != read
    if lacks and documents is not None:
        output.note(f"{file} says that it has {documents:,} documents, and has {read:,}")
    if conflicts or lacks:
        raise typer.Exit(FAILED)


def _check_kind(file: Path) -> None:
    """Refuse what cannot be gone on with, and `-`: a pipe behind it would get nothing."""
    if str(file) == "-" or (file.exists() and not (file.is_file() or file.is_dir())):
        message = f"{file} is not a file: name one, since an interrupted export or import goes on"
        raise UsageError(message)


def _header(backend: Backend) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": metadata.version("pipelinejobs-manager"),
        "database": backend.mongodb.get("database"),
    }


def _write(stream: IO[bytes], content: dict[str, Any]) -> None:
    stream.write(json.dumps(content).encode() + b"\n")


def _open(file: Path) -> IO[bytes]:
    try:
        # tokens can be made of what is in it
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}"
        raise UsageError(message) from error
    stream = os.fdopen(descriptor, "r+b")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.close()
        message = f"another export writes to {file} now: wait for it, or name another file"
        raise CommandError(message) from error
    except OSError:
        return stream  # some file systems have no locks
    return stream


def _inspect(file: Path) -> _Written:
    """Find out how far an export has come, and where it can go on."""
    if not file.exists() or not file.stat().st_size:
        return _NOTHING
    end = began = size = 0
    last: bytes | None = None
    before: str | None = None
    items = items_before = 0
    with _reading(file) as stream:
        for number, line in enumerate(stream):
            if not line.endswith(b"\n"):
                break
            size += len(line)
            if number == 0:
                _check_header(file, line)
                end = began = size
                continue
            if line.startswith(b'{"end"'):
                return _Written(size, items, None, complete=True)
            name = line[16 : line.find(b'"', 16)].decode(errors="replace")
            group = "jobs" if name == BUCKETS else name
            if group != before:
                before, began, items_before = group, size - len(line), items
            if name != BUCKETS:
                last, end, items = line, size, items + 1
    if last is None:
        return _Written(end, 0, None, complete=False)
    item = _item(file, items, last)
    if Transfer.goes_on(item):
        return _Written(end, items, item, complete=False)
    # of a collection whose documents have no date, all come again
    return _Written(began, items_before, item, complete=False)


def _check_header(file: Path, line: bytes) -> None:
    try:
        found = json.loads(line)["format"]
    except (ValueError, KeyError, TypeError):
        message = f"{file} is not an export: name another file"
        raise UsageError(message) from None
    if found != FORMAT:
        message = f"{file} has the format {found!r:.20}, and this version knows {FORMAT}"
        raise UsageError(message)


def _documents(file: Path) -> int | None:
    """Return how many documents an export says it has; check that it is one, and complete."""
    with _reading(file) as stream:
        _check_header(file, stream.readline())
        stream.seek(max(0, file.stat().st_size - 200))
        tail = stream.read().splitlines()
    try:
        return int(json.loads(tail[-1])["documents"])
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        output.note(f"{file} is not complete: run the export again to complete it")
        return None


def _batches(file: Path) -> Iterator[list[Item]]:
    batch: list[Item] = []
    size = 0
    with _reading(file) as stream:
        for number, line in enumerate(stream, start=1):
            if number == 1 or line.startswith(b'{"end"') or not line.endswith(b"\n"):
                continue
            batch.append(_item(file, number, line))
            size += len(line)
            if len(batch) >= _BATCH_ITEMS or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _item(file: Path, number: int, line: bytes) -> Item:
    try:
        return Item.from_json(line.decode())
    except ValueError as error:
        message = f"{file}, line {number}: {error}"
        raise UsageError(message) from error


def _reading(file: Path) -> IO[bytes]:
    try:
        return file.open("rb")
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}"
        raise UsageError(message) from error
