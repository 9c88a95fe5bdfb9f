"""Views of the list that somebody has saved under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abaco.store.permissions import UPDATE
from datacatalog.linkedstores.views import InvalidView
from pipelinejobs.page import listing, live
from pipelinejobs.page.context import Problem

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipelinejobs.page.context import Context


def save(context: Context) -> Response:
    """Save the filters, columns and order of this address for all who look at the list."""
    query = listing.saved(context)
    try:
        context.backend.views.save(
            context.form.get("name", "").strip(), query, context.visitor.user
        )
    except InvalidView as error:
        context.at, context.version = "/jobs", live.version(listing.version(context))
        return listing.show(context, status=409, view_mistake=str(error))
    return context.go(f"/jobs?{query}")


def remove(context: Context) -> Response:
    """Drop a view, for all."""
    name = context.form.get("name", "")
    owner = context.backend.views.owner(name)
    if owner not in (None, context.visitor.user) and not context.may(UPDATE):
        message = f"{owner} has saved this view: only they, or somebody with the level {UPDATE}, may remove it."
        raise Problem(message, 403)
    context.backend.views.remove(name)
    return context.go(f"/jobs?{listing.saved(context)}")
