from __future__ import annotations

import functools
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS
from datacatalog.mongo import Document
from manager import schemas
from tests.actor import (
    AGAVE_POST,
    ALOE_POST,
    UNKNOWN_JOB,
    UNKNOWN_PIPELINE,
    Actor,
    cloud_event,
    job_event,
    run_event,
    tapis,
    url,
    without,
)

EVENTS = ", ".join(MESSAGE_EVENTS)

# Messages of no kind

EVENT = {"uuid": UNKNOWN_JOB, "name": "run", "token": "0" * 16}
DELETE = {"uuid": UNKNOWN_JOB, "action": "delete"}
CREATE = {"pipeline_uuid": UNKNOWN_PIPELINE, "archive_path": "/x", "data": {}}
URL = {"uuid": UNKNOWN_JOB, "token": "0" * 16}
KEYS = {
    "event": "uuid, name, data, token",
    "delete": "uuid, action, force, token",
}
NO_ACTION = (
    "is not an action: the only one is delete; to create a job, leave 'action' out,"
    " and to report an event, say it in 'name'"
)
BATCH = "the message is a batch of events: post them one by one"
NO_NAME = "Expecting property name enclosed in double quotes"
MALFORMED: list[tuple[Any, dict[str, str], str]] = [
    # kind 1
    (without(EVENT, "uuid"), {}, "run event: 'uuid' is missing"),
    ({"name": "FINISH", "data": {}}, {}, "finish event: 'uuid' is missing"),
    (without(EVENT, "name"), {}, "event: 'name' is missing"),
    ({"token": "0" * 16}, {}, "event: 'uuid', 'name' are missing"),
    ({**EVENT, "uuid": None}, {}, "run event: 'uuid' is null, expected: string"),
    ({**EVENT, "uuid": 107}, {}, "run event: 'uuid' is a number, expected: string"),
    (
        {**EVENT, "uuid": "107"},
        {},
        "run event: 'uuid' is '107', expected: the uuid of a job (107...)",
    ),
    (
        {**EVENT, "uuid": UNKNOWN_PIPELINE},
        {},
        f"run event: 'uuid' is '{UNKNOWN_PIPELINE}', expected: the uuid of a job (107...)",
    ),
    (
        {**EVENT, "uuid": UNKNOWN_JOB + "\n"},
        {},
        f"run event: 'uuid' is '{UNKNOWN_JOB}\\n', expected: the uuid of a job (107...)",
    ),
    (
        {**EVENT, "uuid": "x" * 5000},
        {},
        f"run event: 'uuid' is '{'x' * 59}…, expected: the uuid of a job (107...)",
    ),
    ({**EVENT, "name": "bake"}, {}, f"event: 'name' is 'bake', expected: one of {EVENTS}"),
    ({**EVENT, "name": "create"}, {}, f"event: 'name' is 'create', expected: one of {EVENTS}"),
    ({**EVENT, "name": ["run"]}, {}, "event: 'name' is an array, expected: string"),
    ({**EVENT, "data": [1]}, {}, "run event: 'data' is an array, expected: object"),
    ({**EVENT, "data": "text"}, {}, "run event: 'data' is a string, expected: object"),
    ({**EVENT, "data": None}, {}, "run event: 'data' is null, expected: object"),
    ({**EVENT, "token": 16}, {}, "run event: 'token' is a number, expected: string"),
    ({**EVENT, "token": None}, {}, "run event: 'token' is null, expected: string"),
    (
        {**EVENT, "extra": 1, "more": 2},
        {},
        f"run event: 'extra' is not one of its keys: {KEYS['event']}",
    ),
    # kind 2
    ({"action": "delete"}, {}, "delete action: 'uuid' is missing"),
    ({**DELETE, "uuid": 7}, {}, "delete action: 'uuid' is a number, expected: string"),
    (
        {**DELETE, "uuid": "z"},
        {},
        "delete action: 'uuid' is 'z', expected: the uuid of a job (107...)",
    ),
    (
        {**DELETE, "action": "hide"},
        {},
        f"'hide' {NO_ACTION}",
    ),
    ({"action": "create"}, {}, f"'create' {NO_ACTION}"),
    ({**CREATE, "action": "create"}, {}, f"'create' {NO_ACTION}"),
    ({**DELETE, "action": None}, {}, "delete action: 'action' is null, expected: string"),
    ({**DELETE, "force": "true"}, {}, "delete action: 'force' is a string, expected: boolean"),
    ({**DELETE, "force": 1}, {}, "delete action: 'force' is a number, expected: boolean"),
    ({**DELETE, "token": {}}, {}, "delete action: 'token' is an object, expected: string"),
    (
        {**DELETE, "data": {}},
        {},
        f"delete action: 'data' is not one of its keys: {KEYS['delete']}",
    ),
    (
        {**DELETE, "name": "run"},
        {},
        f"delete action: 'name' is not one of its keys: {KEYS['delete']}",
    ),
    # kind 3
    (without(CREATE, "data"), {}, "create action: 'data' is missing"),
    (without(CREATE, "pipeline_uuid"), {}, "create action: 'pipeline_uuid' is missing"),
    (
        without(CREATE, "archive_path", "data"),
        {},
        "create action: 'archive_path', 'data' are missing",
    ),
    (
        {**CREATE, "pipeline_uuid": UNKNOWN_JOB},
        {},
        f"create action: 'pipeline_uuid' is '{UNKNOWN_JOB}', expected: the uuid of a pipeline (106...)",
    ),
    (
        {**CREATE, "archive_path": " "},
        {},
        "create action: 'archive_path' is ' ', expected: a path on the archive system; one that is not absolute is below /products/v2",
    ),
    (
        {**CREATE, "archive_path": 5},
        {},
        "create action: 'archive_path' is a number, expected: string",
    ),
    ({**CREATE, "data": []}, {}, "create action: 'data' is an array, expected: object"),
    ({**CREATE, "data": None}, {}, "create action: 'data' is null, expected: object"),
    ({**CREATE, "session": 5}, {}, "create action: 'session' is a number, expected: string"),
    ({**CREATE, "token": 5}, {}, "create action: 'token' is a number, expected: string"),
    (
        {**CREATE, "child_of": ["a taco"]},
        {},
        "create action: 'child_of.0' is 'a taco', expected: uuids of what the job is about",
    ),
    (
        {"name": "run"},
        {"uuid": UNKNOWN_JOB},
        (
            "run event: 'uuid' is missing in the body; "
            "with the uuid in the URL, name the event there as well"
        ),
    ),
    # kinds 4 and 5
    (
        ALOE_POST,
        {},
        "run event (AloeJobsPost): the URL parameter 'uuid' is missing: add the job's uuid",
    ),
    (
        {**AGAVE_POST, "uuid": UNKNOWN_JOB},
        {},
        "run event (AgaveJobsPost): the URL parameter 'uuid' is missing: add the job's uuid",
    ),
    (
        ALOE_POST,
        {"uuid": "nope"},
        "run event (AloeJobsPost): the URL parameter 'uuid' is 'nope', not the uuid of a job (107…)",
    ),
    (without(ALOE_POST, "status"), {}, "AloeJobsPost: 'status' is missing"),
    (without(ALOE_POST, "appId", "status"), {}, "AloeJobsPost: 'appId', 'status' are missing"),
    ({**ALOE_POST, "status": None}, {}, "AloeJobsPost: 'status' is null, expected: string"),
    (without(AGAVE_POST, "status"), {}, "AgaveJobsPost: 'status' is missing"),
    ({**AGAVE_POST, "status": 5}, {}, "AgaveJobsPost: 'status' is a number, expected: string"),
    # kind 7
    ("", {"name": "run"}, "event: the URL parameter 'uuid' is missing: add the job's uuid"),
    ("", {"status": "RUNNING"}, "event: the URL parameter 'uuid' is missing: add the job's uuid"),
    ({}, {"name": "run"}, "event: the URL parameter 'uuid' is missing: add the job's uuid"),
    (
        "",
        URL,
        "event: 'name' is missing: add it to the body, or to the URL one of name, event, status",
    ),
    ("", {**URL, "name": "bake"}, f"event: the URL names 'bake', not one of {EVENTS}"),
    ("", {**URL, "event": "create"}, f"event: the URL names 'create', not one of {EVENTS}"),
    (
        "",
        {**URL, "uuid": "", "name": "run"},
        "run event: the URL parameter 'uuid' is missing: add the job's uuid",
    ),
    (
        "",
        {**URL, "uuid": "107", "status": "RUNNING"},
        "run event: the URL parameter 'uuid' is '107', not the uuid of a job (107…)",
    ),
    (
        {"note": 1},
        {**URL, "uuid": UNKNOWN_PIPELINE, "name": "run"},
        f"run event: the URL parameter 'uuid' is '{UNKNOWN_PIPELINE}', not the uuid of a job (107…)",
    ),
    # no kind
    *(
        (body, URL, f"{problem}, and the URL names no event: add one of name, event, status")
        for body, problem in (
            ([1], "the message is an array, not an object"),
            ("5", "the message is a number, not an object"),
            ("False", "the message is true or false, not an object"),
            (
                "done",
                "the message is not valid JSON (Expecting value at line 1 column 1, where 'd' is)",
            ),
        )
    ),
    *(([job_event({**EVENT, "_update_token": ""})], parameters, BATCH) for parameters in ({}, URL)),
    *(
        (without(tapis(), "eventUuid", *more), URL, "TapisJobsNotification: 'eventUuid' is missing")
        for more in ((), ("deliveryTarget",), ("deliveryTarget", "uuid"))
    ),
    (
        "",
        {},
        'the message is empty: send an event such as {"uuid": …, "name": "run", "token": …}',
    ),
    (
        " \n ",
        {},
        'the message is empty: send an event such as {"uuid": …, "name": "run", "token": …}',
    ),
    ({}, {}, "the message is of no known kind: see message.jsonschema for what it may have"),
    ({"a": 1}, {}, "the message is of no known kind: see message.jsonschema for what it may have"),
    ([EVENT], {}, "the message is an array, not an object, and the URL names no job and event"),
    ("5", {}, "the message is a number, not an object, and the URL names no job and event"),
    ("True", {}, "the message is true or false, not an object, and the URL names no job and event"),
    *(
        (
            text,
            {},
            f"the message is not valid JSON ({place}), and the URL names no job and event",
        )
        for text, place in (
            ("Make me\na taco", "Expecting value at line 1 column 1, where 'M' is"),
            ('{"uuid": ', "Expecting value at line 1 column 10, where it ends"),
            ("{'uuid': x}", f'{NO_NAME} at line 1 column 2, where "\'" is'),
            (
                "{'uuid': open('/etc/passwd').read()}",
                f'{NO_NAME} at line 1 column 2, where "\'" is',
            ),
            ("[1 for _ in 'abc']", "Expecting ',' delimiter at line 1 column 4, where 'f' is"),
            ("__import__('os').system('id')", "Expecting value at line 1 column 1, where '_' is"),
            ("1 + 1", "Extra data at line 1 column 3, where '+' is"),
            ("[" * 40 + "]" * 39, "Expecting ',' delimiter at line 1 column 80, where it ends"),
            (
                '{"uuid": "x", \\\n "name": "run"}',
                (
                    f"{NO_NAME} at line 1 column 15, where '\\\\' is. Within quotes a shell keeps a backslash"
                    " at the end of a line: leave such backslashes out of the JSON"
                ),
            ),
        )
    ),
    ("[" * 200_000, {}, "the message is nested more than 64 levels deep"),
    ('{"a":' * 200_000, {}, "the message is nested more than 64 levels deep"),
    ("{'a': " * 100 + "1" + "}" * 100, {}, "the message is nested more than 64 levels deep"),
    ('{"name": "run", "name": "fail"}', {}, "the message has the key 'name' twice in one object"),
    (
        '{"uuid": "x", "name": "run", "data": {"a": [{"b": 1, "b": 1}]}}',
        {},
        "the message has the key 'b' twice in one object",
    ),
    ('{"data": NaN}', {}, "the message has the value NaN, which JSON does not have"),
    ("[-Infinity]", {}, "the message has the value -Infinity, which JSON does not have"),
    ('{"data": 1e999}', {}, "the message has the number 1e999, which is too large"),
    ("9" * 5000, {}, "the message has a number of 5,000 digits"),
    ("[" + "9" * 5000 + ", None]", {}, "the message has a number of 5,000 digits"),
]
SECRET_PARAMETERS = {"token": "0123456789abcdef", "x-nonce": "SD2E_0therN0nce"}


def test_every_malformed_message_is_answered_with_one_line_and_writes_nothing(
    actor: Actor, job: Document
) -> None:
    before = actor.dump()

    for body, parameters, text in MALFORMED:
        run = actor.main(body, parameters)

        assert (run.lines and run.message, run.code) == (f"ERROR {text}", 1)
        assert len(run.lines) == 1
        assert run.answer == {"error": text, "kind": "invalid_message"}
    assert actor.dump() == before


def test_no_malformed_message_brings_a_secret_into_the_log(actor: Actor) -> None:
    body_token = "fedcba9876543210"
    for body, parameters, _ in MALFORMED:
        changed = {**body, "token": body_token} if isinstance(body, dict) else body
        changed = (
            changed.replace("{", f'{{"token": "{body_token}", ', 1)
            if isinstance(changed, str)
            else changed
        )

        run = actor.main(changed, {**parameters, **SECRET_PARAMETERS})

        shown = " ".join(run.lines) + str(run.answer)
        for secret in (body_token, *SECRET_PARAMETERS.values(), actor.mongodb["authn"]):
            assert secret not in shown


@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        ({"uuid": "TOKEN", "name": "run", "token": UNKNOWN_JOB}, {}),
        ({"uuid": UNKNOWN_JOB, "name": "TOKEN"}, {}),
        ("", {"uuid": "TOKEN", "name": "run"}),
        ("", {"uuid": UNKNOWN_JOB, "name": "TOKEN"}),
    ],
    ids=["body uuid", "body name", "url uuid", "url name"],
)
def test_a_token_in_the_wrong_place_is_not_logged(
    actor: Actor, job: Document, body: Any, parameters: dict[str, str]
) -> None:
    token = job["_update_token"]
    text = body if isinstance(body, str) else json.dumps(body).replace("TOKEN", token)
    swapped = {name: value.replace("TOKEN", token) for name, value in parameters.items()}

    run = actor.main(text, swapped)

    assert run.code == 1
    assert token not in " ".join(run.lines)


@pytest.mark.parametrize(
    "text",
    [
        "{'uuid': '%s', 'name': 'run', 'name': 'fail'}",
        "{'uuid': '%s', 'name': 'run', 'data': {'a': 1, 'a': 2}}",
    ],
)
def test_a_literal_that_says_two_things_at_once_is_refused(
    actor: Actor, job: Document, text: str
) -> None:
    before = actor.dump()

    reply = actor.send(text % job["uuid"], url(job))

    assert reply.kind == "invalid_message"
    assert actor.dump() == before


UNFAITHFUL = [
    ("{'a': 1e999}", "the message has the number 1e999, which is too large"),
    (
        '{"a": 9223372036854775808}',
        "run event: 'data.a' is a number beyond 64 bits: send it as text",
    ),
    (
        '{"a": ["\\ud83c"]}',
        "run event: 'data.a[0]' has a lone surrogate, which is not a character",
    ),
    (
        '{"a": {"\\udf2e": 1}}',
        "run event: 'data.a' has a lone surrogate, which is not a character",
    ),
    (
        '{"a": ' * 70 + "1" + "}" * 70,
        "the message is nested more than 64 levels deep",
    ),
]


def test_what_cannot_be_stored_faithfully_is_refused(actor: Actor, job: Document) -> None:
    before = actor.dump()

    for data, problem in UNFAITHFUL:
        quote = '"' if "\\u" in data or '"' in data else "'"
        body = (
            f"{{'uuid': '{job['uuid']}', 'name': 'run', 'data': ".replace("'", quote) + data + "}"
        )
        run = actor.main(body, url(job))
        lines = [line.partition(" ERROR ")[2] for line in run.lines]
        assert (run.code, lines) == (1, [problem])

    assert actor.dump() == before


NO_UNICODE: list[tuple[str, dict[str, str], int]] = [
    ('{"uuid": "%s", "name": "run", "token": "0123456789abcde\\ud800"}', {}, 1),
    ('{"uuid": "%s", "name": "run"}', {"token": "0123456789abcde\udcff"}, 1),
    ('{"uuid": "%s", "name": "\\ud800"}', {}, 1),
    ('{"uuid": "\\ud800", "name": "run"}', {}, 1),
    ('{"uuid": "%s", "name": "run", "\\ud800": 1}', {"name": ""}, 1),
    ("", {"uuid": "\udcff", "name": "run"}, 1),
    ("", {"name": "\udcff"}, 1),
    ("", {"name": "run", "note": "\udcff"}, 0),
    ("\udcff", {"name": "run"}, 0),
    ("{'a': '\udcff'}", {"name": "run"}, 0),
    ("", {"name": "run", "x-nonce": "SD2E_n0nce\udcff"}, 0),
    ("", {"status": "RUNNING\udcff"}, 0),
]


def test_text_that_is_no_unicode_is_answered_with_one_line(actor: Actor, job: Document) -> None:
    for body, parameters, code in NO_UNICODE:
        before = actor.dump()

        run = actor.main(body.replace("%s", job["uuid"]), {**url(job), **parameters})

        assert (body, parameters, run.code) == (body, parameters, code)
        warned = "the status" in run.lines[0]
        assert len(run.lines) == 1 + warned
        assert "unexpected" not in run.message
        assert (actor.dump() == before) == bool(code)


def test_an_event_id_that_is_no_unicode_is_answered_with_one_line(
    actor: Actor, job: Document
) -> None:
    run = actor.main("", url(job, name="run", event_id="event \udcff"))

    assert len(run.lines) == 1
    assert "unexpected" not in run.message


# The schemas and the short cut beside them

UUIDS = st.sampled_from(
    [
        UNKNOWN_JOB,
        UNKNOWN_JOB.upper(),
        UNKNOWN_PIPELINE,
        UNKNOWN_JOB + "\n",
        " " + UNKNOWN_JOB,
        UNKNOWN_JOB[:-1],
        "",
    ]
)
ANYTHING = st.one_of(
    UUIDS,
    st.sampled_from([*MESSAGE_EVENTS, "RUN", "create", "delete", "Delete", "run\n", "/x"]),
    st.sampled_from(
        ["jobs.JOB_NEW_STATUS.RUNNING", "jobs.x", "jobs..x", "1.0", " ", "x.run", "START"]
    ),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.integers(0, 40).map(lambda exponent: "x" * int(1.4**exponent)),
    st.lists(st.integers(), max_size=2),
    st.just((1, 2)),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
KNOWN = {"uuid": UNKNOWN_JOB, "_update_token": "0" * 16}
FITTING: dict[str, list[dict[str, Any]]] = {
    schemas.EVENT: [{**EVENT, "data": {}}],
    schemas.DELETE: [{**DELETE, "force": True, "token": ""}],
    schemas.CREATE: [{**CREATE, "session": "s"}],
    schemas.ALOE: [ALOE_POST],
    schemas.AGAVE: [AGAVE_POST],
    schemas.CLOUD: [job_event(KNOWN)],
    schemas.TAPIS: [tapis(), cloud_event(tapis())],
    schemas.LINEAGE: [run_event(KNOWN), run_event(None)],
}


@st.composite
def near_messages(draw: st.DrawFn) -> tuple[str, dict[Any, Any]]:
    """Return a message that fits a kind, or would but for a few keys."""
    kind = draw(st.sampled_from(schemas.KINDS))
    bodies = FITTING[draw(st.sampled_from([kind, kind, *schemas.KINDS]))]
    body: dict[Any, Any] = dict(draw(st.sampled_from(bodies)))
    for inner in ("event", "run", "job"):
        if isinstance(body.get(inner), dict) and draw(st.booleans()):
            body[inner] = draw(near(dict(body[inner])))
    return kind, draw(near(body))


@st.composite
def near(draw: st.DrawFn, body: dict[Any, Any]) -> dict[Any, Any]:
    """Return a body but for a few keys."""
    names = st.sampled_from([*body, "extra", "", "uuid", "specversion", "__proto__"])
    for name in draw(st.lists(names, max_size=2)):
        body.pop(name, None)
    for name in draw(st.lists(names, max_size=2)):
        body[name] = draw(ANYTHING)
    return body


@functools.cache
def validator(kind: str) -> jsonschema.Draft7Validator:
    """Return what checks messages of a kind against its schema."""
    return jsonschema.Draft7Validator(
        json.loads((schemas.SCHEMAS / f"{kind}.jsonschema").read_text())
    )


@settings(max_examples=100, deadline=None)
@given(near_messages())
def test_the_short_cut_accepts_nothing_that_the_schema_refuses(
    message: tuple[str, dict[Any, Any]],
) -> None:
    kind, body = message
    insensitive = {
        schemas.EVENT: ("uuid", "name"),
        schemas.DELETE: ("uuid", "name"),
        schemas.CLOUD: ("subject", "type"),
    }.get(kind, ())
    subject = {
        name: value.lower() if name in insensitive and isinstance(value, str) else value
        for name, value in body.items()
    }
    valid = validator(kind).is_valid(subject)
    surely = any(schemas._surely_fits(form, subject) for form in schemas.forms_of(kind))
    note(f"{kind}: surely {surely}, valid {valid}")

    assert valid or not surely
    assert schemas.fits(kind, body) == valid


@pytest.mark.parametrize(
    ("kind", "body"),
    [(kind, body) for kind, bodies in FITTING.items() for body in bodies if kind != schemas.CREATE],
)
def test_the_short_cut_is_taken_for_plain_messages(kind: str, body: dict[str, Any]) -> None:
    assert any(schemas._surely_fits(form, body) for form in schemas.forms_of(kind))


def test_the_messages_schema_accepts_each_kind_and_any_object() -> None:
    from reactors import schema
    from tests.conftest import ROOT

    validator = schema.load(ROOT / "message.jsonschema")
    bodies = [body for bodies in FITTING.values() for body in bodies]

    assert all(validator.is_valid(body) for body in [*bodies, {}, {"any": 1}])
    assert not any(validator.is_valid(body) for body in [[], "text", 5, None])


def test_the_schemas_name_every_event(jobs: PipelineJobStore) -> None:
    schema = json.loads((schemas.SCHEMAS / "event.jsonschema").read_text())

    assert tuple(schema["properties"]["name"]["enum"]) == MESSAGE_EVENTS
