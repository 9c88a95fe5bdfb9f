"""The OpenAPI document, made from the table of endpoints, and a page to read it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from abaco.http import envelope
from abaco.http.call import ADMIN, PUBLIC, ROLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from abaco.http.arguments import Argument
    from abaco.http.call import Endpoint

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer"}
_FLAG: Schema = {"type": "boolean"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_TIME: Schema = {"type": "string", "format": "date-time"}
_LINKS: Schema = {"type": "object", "additionalProperties": {"type": "string", "format": "uri"}}
_ERRORS = {
    "400": "The request cannot be understood, or is not permitted.",
    "404": "There is no such thing.",
    "405": "The path exists, but not with this method.",
    "408": "The body did not come in time.",
    "410": "The message that was waited for was dropped before it ran.",
    "413": "The body is too large.",
    "415": "The body is compressed.",
    "421": "The gateway is not known by the name in the Host header.",
    "429": "Too many messages of this sender were refused: see Retry-After.",
    "431": "The head of the request is too large.",
    "503": "The gateway is stopping, has no memory left, or its database does not answer.",
}
_NUMBERS = ("limit", "skip")
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_TOKEN = "/token"  # noqa: S105 - a path
_TAGS = re.compile(r"^/actors/(?:\{actor\}/|aliases/\{alias\}/)?(\w+)")


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(name: str) -> Schema:
    return {"type": "array", "items": _reference(name)}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _with(schema: Schema, **optional: Schema) -> Schema:
    return {**schema, "properties": {**schema["properties"], **optional}}


_BRIEF = _object(
    id=_TEXT,
    status=_TEXT,
    messageReceivedTime=_TIME,
    startTime={"type": ["string", "null"]},
    finishTime={"type": ["string", "null"]},
)
_SCHEMAS: dict[str, Schema] = {
    "Nothing": {"type": "null"},
    "Actor": _with(
        _object(
            id=_TEXT,
            image=_TEXT,
            owner=_TEXT,
            status={"enum": ["SUBMITTED", "READY", "ERROR", "SHUTTING_DOWN"]},
            statusMessage=_TEXT,
            state={},
            revision=_COUNT,
            stateless=_FLAG,
            defaultEnvironment={"type": "object"},
            createTime=_TIME,
            lastUpdateTime=_TIME,
            _links=_LINKS,
        ),
        name=_TEXT,
        description=_TEXT,
        type=_TEXT,
        token={"type": ["boolean", "string"]},
        link=_TEXT,
        webhook=_TEXT,
        hints=_TEXTS,
        privileged=_FLAG,
        maxWorkers=_COUNT,
        memLimit=_TEXT,
        maxCpus=_TEXT,
        useContainerUid=_FLAG,
        queue=_TEXT,
        logEx=_COUNT,
        cronOn=_FLAG,
        cronSchedule=_TEXT,
        cronNextEx=_TIME,
        mounts={"type": "array"},
        uid=_COUNT,
        gid=_COUNT,
        tasdir=_TEXT,
    ),
    "Search": _object(
        _metadata=_object(
            totalCount=_COUNT, recordsSkipped=_COUNT, recordLimit=_COUNT, countReturned=_COUNT
        ),
        search={"type": "array", "items": {"type": "object"}},
    ),
    "ActorsOrSearch": {"anyOf": [_list("Actor"), _reference("Search")]},
    "Utilization": _object(
        currentActors=_COUNT, totalActors=_COUNT, workers=_COUNT, commandQueue=_COUNT
    ),
    "Accepted": _object(executionId=_TEXT, msg={}, _links=_LINKS),
    "Mailbox": _object(
        messages=_COUNT,
        postponed={
            "type": "array",
            "items": _object(
                executionId=_TEXT,
                messageReceivedTime=_TIME,
                tries=_COUNT,
                reason=_TEXT,
                nextTry=_TIME,
            ),
        },
        _links=_LINKS,
    ),
    "Purged": _object(msg=_TEXT, _links=_LINKS),
    "Execution": _with(
        _object(
            id=_TEXT,
            actorId=_TEXT,
            apiServer=_TEXT,
            executor=_TEXT,
            status={"enum": ["SUBMITTED", "RUNNING", "COMPLETE", "ERROR"]},
            cpu=_COUNT,
            io=_COUNT,
            runtime=_COUNT,
            messageReceivedTime=_TIME,
            _links=_LINKS,
        ),
        workerId=_TEXT,
        startTime=_TIME,
        finishTime=_TIME,
        exitCode=_COUNT,
        finalState={"type": "object"},
    ),
    "ExecutionsOrSearch": {
        "anyOf": [
            _object(
                actorId=_TEXT,
                apiServer=_TEXT,
                owner=_TEXT,
                totalExecutions=_COUNT,
                totalCpu=_COUNT,
                totalIo=_COUNT,
                totalRuntime=_COUNT,
                executions={"type": "array", "items": _BRIEF},
                _links=_LINKS,
            ),
            _reference("Search"),
        ]
    },
    "Log": _object(logs=_TEXT, _links=_LINKS),
    "Nonce": _with(
        _object(
            id=_TEXT,
            owner=_TEXT,
            apiServer=_TEXT,
            roles=_TEXTS,
            level=_TEXT,
            maxUses=_COUNT,
            remainingUses=_COUNT,
            currentUses=_COUNT,
            description=_TEXT,
            createTime=_TIME,
            lastUseTime=_TEXT,
            _links=_LINKS,
        ),
        actorId=_TEXT,
        alias=_TEXT,
    ),
    "Nonces": _list("Nonce"),
    "Alias": _object(alias=_TEXT, actorId=_TEXT, owner=_TEXT, _links=_LINKS),
    "Aliases": _list("Alias"),
    "Permissions": {"type": "object", "additionalProperties": _TEXT},
    # the last two of one that runs containers
    "Worker": _with(
        _object(
            id=_TEXT,
            status=_TEXT,
            tenant=_TEXT,
            createTime=_TIME,
            lastExecutionTime=_TEXT,
            lastHealthCheckTime=_TEXT,
            image=_TEXT,
            chName=_TEXT,
        ),
        location=_TEXT,
        cid=_TEXT,
    ),
    "WorkersOrSearch": {"anyOf": [_list("Worker"), _reference("Search")]},
    "State": _object(state={}),
    "Config": _object(name=_TEXT, value=_TEXT, isSecret=_FLAG, actors=_TEXT),
    "Configs": _list("Config"),
    "Profile": _object(
        username=_TEXT,
        email=_TEXT,
        first_name=_TEXT,
        last_name=_TEXT,
        full_name=_TEXT,
        _links={"type": "object"},
    ),
    "Error": _object(
        message=_TEXT, result={"type": "null"}, status={"const": "error"}, version=_TEXT
    ),
    "Fault": _object(fault=_object(code=_COUNT, message=_TEXT, description=_TEXT)),
}
_KINDS: dict[str, Schema] = {
    "text": _TEXT,
    "integer": _COUNT,
    "boolean": _FLAG,
    "object": {"type": "object"},
    "any": {},
}


def document(endpoints: Sequence[Endpoint], server: str, *, snake: bool = False) -> Schema:
    """Return the document of the API.

    Args:
        endpoints: all of them.
        server: the base URL.
        snake: whether names are in snake case, and what has no value is null.
    """
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        path = re.sub(r"^/actors(?=/|$)", "/actors/v2", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint)
    schemas = _SCHEMAS
    if snake:
        paths, schemas = _in_snake(paths), _in_snake(schemas, missing={"type": "null"})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Abaco",
            "version": envelope.VERSION,
            "description": "Actors that are executed once for each message. Every path below "
            "/actors/v2 is also served below /actors; an actor's alias stands for its id.",
        },
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "nonce": {"type": "apiKey", "in": "query", "name": "x-nonce"},
            },
        },
    }


def _in_snake(node: Any, missing: Schema | None = None) -> Any:
    """Return a part of the document with the names of properties in snake case.

    Args:
        node: the part.
        missing: what properties may be as well that are not required.
    """
    if isinstance(node, list):
        return [_in_snake(each, missing) for each in node]
    if not isinstance(node, dict):
        return node
    respelled = {name: _in_snake(value, missing) for name, value in node.items()}
    if isinstance(properties := respelled.get("properties"), dict):
        required = respelled.get("required", [])
        respelled["required"] = [envelope.snake(name) for name in required]
        respelled["properties"] = {
            envelope.snake(name): schema
            if missing is None or name in required
            else {"anyOf": [schema, missing]}
            for name, schema in properties.items()
        }
    return respelled


def page(content: Schema) -> str:
    """Return a document as a page of HTML."""
    from jinja2 import Environment, PackageLoader  # noqa: PLC0415 - takes 20 ms of each start

    loader = PackageLoader("abaco.http")
    templates = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    operations = [
        (method.upper(), path, operation)
        for path, methods in content["paths"].items()
        for method, operation in methods.items()
    ]
    return templates.get_template("openapi.html").render(document=content, operations=operations)


def _operation(endpoint: Endpoint) -> Schema:
    tag = _TAGS.match(endpoint.path)
    operation: Schema = {
        "summary": endpoint.summary,
        "description": _who(endpoint),
        "operationId": f"{endpoint.method.lower()}_{re.sub(r'[^a-z]+', '_', endpoint.path)}",
        "tags": [tag[1] if tag else "actors" if "/actors" in endpoint.path else "system"],
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint),
        "security": [] if endpoint.needs == PUBLIC else [{"bearer": []}],
    }
    if endpoint.path == _TOKEN:
        operation["security"] = [{"basic": []}]
    if "{actor}" in endpoint.path or "{alias}" in endpoint.path:
        operation["security"].append({"nonce": []})
    if endpoint.arguments:
        operation["requestBody"] = _body(endpoint.arguments)
    elif endpoint.free_body:
        kinds = ("application/json", "text/plain", "application/octet-stream")
        operation["requestBody"] = {"content": {kind: {"schema": {}} for kind in kinds}}
    return operation


def _who(endpoint: Endpoint) -> str:
    if endpoint.needs == PUBLIC:
        return "For everybody."
    if endpoint.needs == ROLE:
        return "For users with a role of the tenant."
    if endpoint.needs == ADMIN:
        return "For administrators of the tenant."
    return f"For users with the permission {endpoint.needs} on what the path names."


def _parameters(endpoint: Endpoint) -> list[Schema]:
    named = [
        {"name": name, "in": "path", "required": True, "schema": {**_TEXT, "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", endpoint.path)
    ]
    return named + [
        {
            "name": name,
            "in": "query",
            "description": text,
            "schema": _NUMBER if name in _NUMBERS else _TEXT,
        }
        for name, text in endpoint.parameters.items()
    ]


def _body(arguments: Sequence[Argument]) -> Schema:
    properties: Schema = {}
    for argument in arguments:
        schema = {**_KINDS[argument.kind], "description": argument.help}
        if argument.choices:
            schema["enum"] = list(argument.choices)
        properties[argument.name] = schema
    schema = {
        "type": "object",
        "properties": properties,
        "required": [argument.name for argument in arguments if argument.required],
    }
    content = {"application/json": {"schema": schema}}
    if not any(argument.kind in ("object", "any") for argument in arguments):
        content["application/x-www-form-urlencoded"] = {"schema": schema}
    return {"required": bool(schema["required"]), "content": content}


def _responses(endpoint: Endpoint) -> Schema:
    content: Schema = {kind: {"schema": {}} for kind in endpoint.raw}
    if endpoint.result != "Nothing" or not endpoint.raw:
        answer = _object(
            message=_TEXT,
            status={"const": "success"},
            version=_TEXT,
            result=_reference(endpoint.result),
        )
        content["application/json"] = {"schema": answer}
    responses: Schema = {"200": {"description": "Success.", "content": content}}
    if endpoint.needs != PUBLIC or endpoint.path == _TOKEN:
        responses["401"] = _failure("The token is wrong or has expired.", "Fault")
    for status, text in _ERRORS.items():
        responses[status] = _failure(text, "Error")
    return responses


def _failure(text: str, schema: str) -> Schema:
    content = {"application/json": {"schema": _reference(schema)}}
    return {"description": text, "content": content}
