"""Pipelines: the list, and one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog import documents
from pipelinejobs.exceptions import CommandError
from pipelinejobs.page.context import Problem

if TYPE_CHECKING:
    from starlette.responses import Response

    from datacatalog.mongo import Document
    from pipelinejobs.page.context import Context

PAGE = 50


def show_all(context: Context) -> Response:
    """List pipelines."""
    page = context.backend.search.pipelines(
        context.query.get("text", "").strip(),
        cursor=context.query.get("cursor") or None,
        limit=PAGE,
    )
    return context.render("pipelines.html", "Pipelines", rows=page.rows, cursor=page.cursor)


def document(context: Context) -> Response:
    """Show the document of a pipeline, whole."""
    return context.json(_find(context)[1])


def _find(context: Context) -> tuple[Document, Document]:
    """Return a pipeline, named by its UUID or id, and what of it is shown."""
    try:
        uuid = context.backend.pipeline_uuid(context.path["uuid"])
    except CommandError as error:
        raise Problem(str(error), 404) from error
    found = context.backend.pipelines.find_one_by_uuid(uuid) or {}
    shown = {name: value for name, value in found.items() if not name.startswith("_")}
    return found, shown


def show(context: Context) -> Response:
    """Show a pipeline."""
    found, shown = _find(context)
    return context.render(
        "pipeline.html",
        f"Pipeline {shown.get('name')}",
        pipeline=shown,
        created=documents.value_at(found, "_properties", "created_date"),
        owner=documents.value_at(found, "_admin", "owner"),
    )
