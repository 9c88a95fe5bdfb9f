"""The context of a request to the page: what its handler is given, and the errors with which it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.datastructures import ImmutableMultiDict
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from abaco.store.permissions import EXECUTE, LEVELS, UPDATE
from pipelinejobs.page import folding, rendering, session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.requests import Request

    from abaco.platform import Visitor
    from datacatalog.linkedstores.changes import Changes
    from pipelinejobs.backend import Backend
    from pipelinejobs.gateway_client import GatewayClient

SEE_OTHER = 303
_DONE = ("sent", "retried", "left")
"""What an address says has just been done."""
_PLACE = ("cursor", "back", "place")
"""Where in a list an address is; another order or other filters begin at its first page."""
NAVIGATION = (
    ("/", "Overview"),
    ("/jobs", "Jobs"),
    ("/gantt", "Gantt"),
    ("/pipelines", "Pipelines"),
    ("/refused", "Refused"),
    ("/subscriptions", "Subscriptions"),
    ("/platform", "Platform"),
)


class Problem(Exception):
    """It is not there, or not allowed; the text says so to whoever looks at the page."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def path_of(request: Request) -> str:
    """Return the path of a request as it came: a slash within a name is `%2F` in it."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("latin-1")


def is_of_token(refusal: str) -> bool:
    """Tell whether something was refused because of the token, which may be typed again."""
    return "token" in refusal


@dataclass
class Context:
    """A request of somebody who is signed in.

    Attributes:
        request: as it came.
        backend: where the jobs are.
        changes: of the catalog.
        api: the platform, as whoever is signed in.
        visitor: who that is, and their level on the manager.
        session: the secret of the session.
        address: the base URL of the gateway, as others know it.
        version: of what is shown, where that is followed.
        at: the path at which it is shown; after a form that was refused, not the form's.
        form: the fields of a form that was sent.
    """

    request: Request
    backend: Backend
    changes: Changes
    api: GatewayClient
    visitor: Visitor
    session: str = field(repr=False)
    address: str
    version: str = ""
    at: str = ""
    form: ImmutableMultiDict[str, str] = field(default_factory=ImmutableMultiDict)

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the URL."""
        return self.request.query_params

    @property
    def path(self) -> Mapping[str, str]:
        """The names in the path."""
        return self.request.path_params

    def may(self, level: str) -> bool:
        """Tell whether whoever is signed in has a level on the manager, or a higher one."""
        return LEVELS.index(self.visitor.level) >= LEVELS.index(level)

    @property
    def is_trusted(self) -> bool:
        """Whether the settings of the manager trust whoever is signed in, so that they need no token."""
        return self.visitor.user in self.backend.trusted_users

    def require(self, level: str) -> None:
        """Refuse whoever has no such level on the manager.

        Raises:
            Problem: they have a lower one.
        """
        if not self.may(level):
            message = f"This needs the level {level} on the actor {self.backend.actor}; {self.visitor.user} has {self.visitor.level}."
            raise Problem(message, 403)

    def render(self, template: str, title: str, status: int = 200, **values: Any) -> Response:
        """Return a page."""
        text = rendering.environment().get_template(template)
        return HTMLResponse(
            text.render(
                title=title,
                navigation=NAVIGATION,
                section=self._section,
                moved=self.at,
                user=self.visitor.user,
                version=self.version,
                csrf=session.csrf_token(self.session),
                may_execute=self.may(EXECUTE),
                may_update=self.may(UPDATE),
                trusted=self.is_trusted,
                query=self.query,
                form=self.form,
                link=self.link,
                **values,
            ),
            status,
        )

    @property
    def _section(self) -> str:
        """The entry of the navigation under which this address is."""
        return "/" + self.request.url.path.split("/")[1]

    def every(self, name: str) -> list[str]:
        """Return all values that the URL has for a parameter."""
        return self.request.query_params.getlist(name)

    def link(self, **changed: str | Sequence[str] | None) -> str:
        """Return this address with other parameters; None or nothing takes one away."""
        left_out = (*changed, *_DONE, *_PLACE)
        kept = [(k, v) for k, v in self.request.query_params.multi_items() if k not in left_out]
        for name, value in changed.items():
            values = [value] if isinstance(value, str) else value or ()
            kept += [(name, each) for each in values]
        return (self.at or path_of(self.request)) + (f"?{urlencode(kept)}" if kept else "")

    def json(self, value: Any) -> Response:
        """Return data as indented JSON."""
        return self.document([folding.pretty(value)])

    def document(self, chunks: Iterable[str]) -> Response:
        """Return JSON: in a page to who looks at it in a browser, with a link to it as it is."""
        wants_page = "text/html" in self.request.headers.get("accept", "")
        if not wants_page or "raw" in self.query:
            return StreamingResponse(chunks, media_type="application/json")
        shown = folding.beginning(chunks, folding.MAX_OF_DOCUMENT)
        title = f"JSON of {self.request.url.path}"
        return self.render("document.html", title, shown=shown, raw=self.link(raw="yes"))

    def go(self, path: str) -> Response:
        """Return what leads to another address, after a change."""
        return RedirectResponse(path, SEE_OTHER)
