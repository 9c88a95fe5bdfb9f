"""Pipelines: the list, and one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelinejobs import values
from pipelinejobs.exceptions import CommandError
from pipelinejobs.page.view import Problem

if TYPE_CHECKING:
    from starlette.responses import Response

    from datacatalog.mongo import Document
    from pipelinejobs.page.view import View

PAGE = 50


def show_all(view: View) -> Response:
    """List pipelines."""
    page = view.site.search.pipelines(
        view.query.get("text", "").strip(), cursor=view.query.get("cursor") or None, limit=PAGE
    )
    return view.render("pipelines.html", "Pipelines", rows=page.rows, cursor=page.cursor)


def document(view: View) -> Response:
    """Show the document of a pipeline, whole."""
    return view.json(_find(view)[1])


def _find(view: View) -> tuple[Document, Document]:
    """Return a pipeline, named by its UUID or id, and what of it is shown."""
    try:
        uuid = view.site.pipeline_uuid(view.path["uuid"])
    except CommandError as error:
        raise Problem(str(error), 404) from error
    found = view.site.pipelines.find_one_by_uuid(uuid) or {}
    shown = {name: value for name, value in found.items() if not name.startswith("_")}
    return found, shown


def show(view: View) -> Response:
    """Show a pipeline."""
    found, shown = _find(view)
    return view.render(
        "pipeline.html",
        f"Pipeline {shown.get('name')}",
        pipeline=shown,
        created=values.at(found, "_properties", "created_date"),
        owner=values.at(found, "_admin", "owner"),
    )
