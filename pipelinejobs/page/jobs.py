"""A job: what is known of it, what has happened to it, and what may be done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from datacatalog.linkedstores.basestore.store import VISIBLE
from datacatalog.linkedstores.file import FileStore
from datacatalog.linkedstores.pipelinejob import fsm, naming
from datacatalog.linkedstores.pipelinejob.history import moved
from pipelinejobs import failures, graph, parsing, state_diagram
from pipelinejobs.exceptions import CommandError, UsageError
from pipelinejobs.page import folding, history, listing, live, numbers, rendering, tables, timeline
from pipelinejobs.page.context import Problem, is_of_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.responses import Response

    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document
    from pipelinejobs.backend import Backend
    from pipelinejobs.page.context import Context

_MAX_STEPS = 2000
"""Of a history, in the drawings: the newest."""
_MAX_WAY = 8
_MAX_LINKED = 100
MAX_NAMED = 20
"""Jobs of one name that are listed."""
_MULTIPLE_CHOICES = 300
_MAX_REFUSED = 20
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
"""What comes of a history that something else has written."""
_DAMAGED = "The history of this job cannot be read: `pipelinejobs verify` says why."
_SHOWN_PRIVATE = ("_admin", "_properties", VISIBLE)


def version(context: Context) -> object:
    """Return what changes with a job."""
    return context.changes.of(_uuid(context))


def show(context: Context) -> Response:
    """Show a job; with `format=csv`, the numbers of its updates.

    An address that has the beginning of a UUID, a title or a session leads to the job.
    """
    try:
        _uuid(context)
    except Problem as problem:
        return _named(context, problem)
    if context.query.get("format") == "csv":
        return _csv(context)
    sent = context.query.get("sent", "")
    notice = f"The event {sent} was applied." if sent in fsm.MESSAGE_EVENTS else ""
    return _show(context, notice=notice)


def _named(context: Context, problem: Problem) -> Response:
    """Lead to the job that an address names otherwise than by its UUID; list those that it may mean."""
    name = context.path["uuid"]
    found = naming.named(context.backend.jobs, name, MAX_NAMED + 1)
    if not found:
        raise problem
    if len(found) == 1:
        return context.go(f"/jobs/{found[0]['uuid']}")
    uuids = [job["uuid"] for job in found[:MAX_NAMED]]
    jobs = context.backend.search.these(uuids)
    rows = listing.titled(context.backend, [jobs[uuid] for uuid in uuids if uuid in jobs])
    title, more = f"Jobs named {name:.60}", len(found) > MAX_NAMED
    return context.render("named.html", title, _MULTIPLE_CHOICES, name=name, rows=rows, more=more)


def _show(
    context: Context,
    *,
    notice: str = "",
    problem: str = "",
    status: int = 200,
    mistakes: Mapping[str, str] | None = None,
) -> Response:
    backend, stored = context.backend, context.backend.jobs.load_deletable(_uuid(context))
    public = backend.jobs.public(stored)
    found = _past(context, stored)
    pipeline = backend.search.pipeline_names([str(stored.get("pipeline_uuid"))])
    named = naming.title_of(public) or next(iter(pipeline.values()), stored["uuid"])
    refused = backend.search.rejected(job_uuid=stored["uuid"], limit=_MAX_REFUSED)
    return context.render(
        "job.html",
        f"{named:.60} {stored['uuid'][:8]}",
        status,
        named=named,
        address=context.address,
        actor=backend.actor,
        # by the entries that are in its document
        failure=failures.of(stored, reversed(public["history"])),
        notice=notice,
        problem=problem or found.problem,
        mistakes=mistakes or {},
        data=context.form.get("data", ""),
        job=public,
        hidden=stored.get(VISIBLE) is False,
        hiding=backend.search.hiding(stored["uuid"]) if stored.get(VISIBLE) is False else None,
        pipeline=pipeline,
        parents=[str(uuid) for uuid in _listed(public.get("child_of"))[:_MAX_LINKED]],
        children=backend.search.children(stored["uuid"], _MAX_LINKED),
        files=FileStore(backend.jobs.db, catalog=backend.catalog).query(
            {"$or": [{"child_of": stored["uuid"]}, {"generated_by": stored["uuid"]}]},
            sort=[("name", 1)],
            limit=_MAX_LINKED,
        ),
        most=_MAX_LINKED,
        most_refused=_MAX_REFUSED,
        past=found,
        choice=history.Choice.of(context.query),
        orders=history.ORDERS,
        event_names=[*fsm.TRANSITIONS],
        allowed=[
            (name, fsm.TRANSITIONS[name]) for name in fsm.allowed_events(str(public.get("state")))
        ],
        refused=refused.rows,
        waiting=backend.jobs.untold.waiting_of(stored),
    )


def _csv(context: Context) -> Response:
    search, stored = context.backend.search, context.backend.jobs.load_deletable(_uuid(context))
    try:
        total = moved(stored) + len(stored.get("history", []))
        newest = list(search.entries(stored, max(0, total - _MAX_STEPS), data=False))
        found = numbers.table(numbers.read(search, stored, newest, total))
    except _UNREADABLE as error:
        raise Problem(_DAMAGED, 409) from error
    return tables.csv_reply("numbers.csv", found.columns, found.rows)


class _Past(NamedTuple):
    """What has happened to a job, as far as it is shown."""

    machine: Markup
    timeline: Markup
    drawn: int = 0
    total: int = 0
    history: history.Pages = history.Pages()
    numbers: numbers.Numbers = numbers.Numbers()
    way: Sequence[str] = ()
    """the states that it was in last, in their order"""
    problem: str = ""


def _past(context: Context, stored: StoredJob) -> _Past:
    search = context.backend.search
    try:
        total = moved(stored) + len(stored.get("history", []))
        drawn = min(total, _MAX_STEPS)
        steps = list(search.path(stored, total - drawn))
        path = graph.Path.of(steps)
        newest = [entry for _, _, entry in steps]
        return _Past(
            rendering.svg(state_diagram.svg(path, style=False)),
            timeline.drawn(path),
            drawn,
            total,
            history.pages(search, stored, history.Choice.of(context.query), total, newest),
            numbers.drawn(numbers.read(search, stored, newest, total)),
            [spell.state for spell in path.spells[-_MAX_WAY:]],
        )
    except _UNREADABLE:
        machine = rendering.svg(state_diagram.svg(graph.Path(), style=False))
        return _Past(machine, Markup(""), problem=_DAMAGED)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def document(context: Context) -> Response:
    """Show the document of a job, without what its token is worked out of.

    With its whole history, unless the address has `history=no`.
    """
    stored = context.backend.jobs.load_deletable(_uuid(context))
    public = context.backend.jobs.public(stored)
    public.pop("history")
    shown: Document = {
        name: value
        for name, value in public.items()
        if not name.startswith("_") or name in _SHOWN_PRIVATE
    }
    if context.query.get("history") == "no":
        return context.json(shown)
    # one entry after the other: a history may be larger than the memory
    text = folding.document(shown, "history", _entries(context.backend, stored))
    return context.document(text)


def _entries(backend: Backend, stored: StoredJob) -> Iterator[Any]:
    """Yield the entries of a history, as far as it can be read, and then what is in the document."""
    try:
        for entry in backend.search.entries(stored):
            yield {name: entry.get(name) for name in ("date", "name", "data", "uuid")}
    except _UNREADABLE:
        yield from _listed(backend.jobs.public(stored)["history"])


def entry(context: Context) -> Response:
    """Show one entry of a history, whole."""
    stored = context.backend.jobs.load_deletable(_uuid(context))
    try:
        found = context.backend.search.entry(stored, context.path["entry"])
    except _UNREADABLE as error:
        raise Problem(_DAMAGED, 409) from error
    if found is None:
        message = f"There is no entry {context.path['entry']:.60} in the history of this job."
        raise Problem(message, 404)
    return context.json(found)


def send_event(context: Context) -> Response:
    """Send an event to the manager, as any platform does."""
    uuid, form = _uuid(context), context.form
    try:
        data = parsing.parsed_object(form.get("data", "").strip() or "{}", "The data")
    except UsageError as error:
        return _refused(context, error, "data")
    try:
        event = parsing.event(form.get("event", ""))
        context.api.send({"uuid": uuid, "name": event, "data": data, **_token(form)})
    except CommandError as error:
        return _refused(context, error, "token" if is_of_token(str(error)) else "")
    return context.go(f"/jobs/{uuid}?sent={event}")


def delete(context: Context) -> Response:
    """Have the manager hide a job, or remove it for good."""
    uuid, force = _uuid(context), context.form.get("force") == "yes"
    try:
        body = {"uuid": uuid, "action": "delete", "force": force, **_token(context.form)}
        context.api.send(body)
    except CommandError as error:
        return _refused(context, error, "token_to_delete" if is_of_token(str(error)) else "")
    return context.go("/jobs" if force else f"/jobs/{uuid}")


def _refused(context: Context, error: CommandError, field: str = "") -> Response:
    """Show the job again, with what was typed; a mistake that belongs to a field is said there too."""
    context.at, context.version = f"/jobs/{_uuid(context)}", live.version(version(context))
    status = 400 if isinstance(error, UsageError) else 409
    return _show(context, problem=str(error), status=status, mistakes={field: str(error)})


def _token(form: Mapping[str, str]) -> dict[str, Any]:
    token = form.get("token", "").strip()
    return {"token": token} if token else {}


def _uuid(context: Context) -> str:
    try:
        return parsing.job_uuid(context.path["uuid"])
    except UsageError as error:
        message = f"There is no job {context.path['uuid']:.60}."
        raise Problem(message, 404) from error
