"""`pipelines ls`, `pipelines add`, `pipelines show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datacatalog import documents
from datacatalog.linkedstores.basestore import strategies
from datacatalog.tokens import InvalidToken
from pipelinejobs import formatting, output, parsing
from pipelinejobs.columns import Column
from pipelinejobs.commands import common
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.exceptions import CommandError
from pipelinejobs.output import Format

if TYPE_CHECKING:
    from datacatalog.mongo import Document
    from pipelinejobs.columns import Row

_COLUMNS = (
    Column("uuid", whole=True, brief=formatting.short),
    Column("id"),
    Column("name"),
    Column("type"),
    Column("created", whole=True, brief=formatting.ago),
)

_FIELDS = ("uuid", "id", "name", "type", "description", "owner", "created")


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "ls", "pipelines ls --text taco --output csv")(list_pipelines)
    command(group, "add", "pipelines add ~/pipeline.yml")(add)
    command(group, "show", "pipelines show tacobot:9000")(show)


def list_pipelines(
    context: typer.Context,
    text: Annotated[
        str, typer.Option(help="Contains this in its uuid, id, name or description.")
    ] = "",
    limit: common.Limit = 50,
    cursor: common.Cursor = None,
    output_format: output.Output = Format.table,
) -> None:
    """List pipelines, the newest first."""
    page = backend_of(context).search.pipelines(text, cursor=cursor, limit=limit)
    output.listing([_row(row) for row in page.rows], _FIELDS, _COLUMNS, output_format)
    if not page.rows:
        output.note("no pipeline matches these filters")
    output.more(page.cursor)


def _row(pipeline: Document) -> Row:
    return {
        "uuid": pipeline["uuid"],
        "id": pipeline.get("id"),
        "name": pipeline.get("name"),
        "type": pipeline.get("pipeline_type"),
        "description": pipeline.get("description"),
        "owner": documents.value_at(pipeline, "_admin", "owner"),
        "created": documents.value_at(pipeline, "_properties", "created_date"),
    }


def add(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            callback=common.file_named,
            help="JSON or YAML: name, id, components, processing_levels, …; or -",
        ),
    ],
    update: Annotated[
        bool, typer.Option("--update", help="Change the one that is there already.")
    ] = False,
    output_format: output.Output = Format.table,
) -> None:
    """Add the pipeline that a file describes; nothing changes if it is there just so."""
    pipelines = backend_of(context).pipelines
    described = parsing.document(file)
    token = None
    if update:
        uuid = described.get("uuid") or pipelines.get_typeduuid(described)
        stored = pipelines.find_one_by_uuid(uuid)
        token = None if stored is None else pipelines.get_token(stored)
    try:
        added = pipelines.add_update_document(described, token=token, strategy=strategies.MERGE)
    except InvalidToken as error:
        message = "this pipeline is there already and differs: add --update to change it"
        raise CommandError(message) from error
    output.record(_row(added), output_format)


def show(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="Its uuid or id.")],
    output_format: output.Output = Format.table,
) -> None:
    """Show a pipeline with its components."""
    backend = backend_of(context)
    found = backend.pipelines.find_one_by_uuid(backend.pipeline_uuid(pipeline)) or {}
    shown = {name: value for name, value in found.items() if not name.startswith("_")}
    output.record({**_row(found), **shown}, output_format)
