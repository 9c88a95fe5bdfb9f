"""Views of the list that somebody has saved under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abaco.store.permissions import UPDATE
from datacatalog.linkedstores.views import InvalidView
from pipelinejobs.page import listing, live
from pipelinejobs.page.view import Problem

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipelinejobs.page.view import View


def save(view: View) -> Response:
    """Save the filters, columns and order of this address for all who look at the list."""
    query = listing.saved(view)
    try:
        view.site.views.save(view.form.get("name", "").strip(), query, view.visitor.user)
    except InvalidView as error:
        view.at, view.version = "/jobs", live.version(listing.version(view))
        return listing.shown(view, status=409, view_mistake=str(error))
    return view.go(f"/jobs?{query}")


def remove(view: View) -> Response:
    """Drop a view, for all."""
    name = view.form.get("name", "")
    owner = view.site.views.owner(name)
    if owner not in (None, view.visitor.user) and not view.may(UPDATE):
        message = f"{owner} has saved this view: only they, or somebody with the level {UPDATE}, may remove it."
        raise Problem(message, 403)
    view.site.views.remove(name)
    return view.go(f"/jobs?{listing.saved(view)}")
