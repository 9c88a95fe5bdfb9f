"""Row 8: the API is as its document says, for whoever asks and whatever is sent."""

from __future__ import annotations

import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from abaco.http.call import Endpoint
from abaco.http.endpoints import ENDPOINTS
from tests.abaco.running import NOWHERE, Client, RunningGateway, furnish
from tests.reliability.soak import many, note

EXAMPLES = many(2, 60)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def api(gateway: RunningGateway) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")


@pytest.fixture(scope="module")
def named(admin: Client) -> dict[str, str]:
    """What there is, by the names that paths have for it."""
    return furnish(admin, admin.actor(NOWHERE, stateless=False))


@pytest.mark.parametrize(
    "endpoint", ENDPOINTS, ids=[f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS]
)
def test_an_endpoint_is_as_its_document_says(
    api: BaseSchema,
    admin: Client,
    ada: Client,
    named: dict[str, str],
    endpoint: Endpoint,
) -> None:
    operation = api[re.sub("^/actors", "/actors/v2", endpoint.path)][endpoint.method]
    credentials: list[dict[str, Any]] = [
        {"Authorization": client.headers["Authorization"]} for client in (admin, ada)
    ]

    @given(
        case=st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode]),
        exists=st.booleans(),
    )
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    def holds(case: schemathesis.Case[Any], *, exists: bool) -> None:
        if exists and endpoint.method != "DELETE":
            for part in (case.path_parameters, case.body):
                if isinstance(part, dict):
                    part.update({name: named[name] for name in part if name in named})
        for headers in (*credentials, {}):
            case.call_and_validate(checks=CHECKS, headers=headers)
            sent.append(1)

    sent: list[int] = []
    holds()
    note(8, "generated requests", len(sent))


def test_what_succeeds_is_as_its_document_says(api: BaseSchema, admin: Client) -> None:
    actor = admin.actor("cold")
    execution = admin.run(actor, {"results": ["taco"], "exit": 3})["id"]
    worker = admin.result("GET", f"/{actor}/workers")[0]["id"]
    named = {"actor": actor, "execution": execution, "worker": worker, "alias": "salsa"}

    def send(method: str, path: str, **body: Any) -> Any:
        url = f"/{path}".rstrip("/")
        reply = admin.request(method, url.format(**named), json=body)
        assert reply.status_code == 200, reply.text
        api[f"/actors/v2{url}"][method].validate_response(reply)
        content_type = reply.headers["content-type"]
        return reply.json()["result"] if content_type == "application/json" else reply.content

    described = send("PUT", "{actor}", image="cold", cronSchedule="now + 2 weeks", hints=["a"])
    assert described["cronNextEx"]
    assert send("GET", "{actor}/executions/{execution}")["exitCode"] == 3
    assert send("GET", "{actor}/executions/{execution}/results") == b"taco"
    assert send("GET", "{actor}/executions")["executions"]
    assert send("GET", "{actor}/workers/{worker}")["id"] == worker
    assert send("POST", "aliases", alias="salsa", actorId=actor)["alias"] == "salsa"
    assert send("PUT", "aliases/{alias}", actorId=actor)["actorId"] == actor
    for owner in ("{actor}", "aliases/{alias}"):
        named["nonce"] = send("POST", f"{owner}/nonces", maxUses=3)["id"]
        assert send("GET", f"{owner}/nonces/{{nonce}}")["maxUses"] == 3
        assert send("DELETE", f"{owner}/nonces/{{nonce}}") is None
    assert send("DELETE", "aliases/{alias}") is None
    assert send("DELETE", "{actor}/workers/{worker}") is None
    assert send("DELETE", "{actor}/messages")["msg"] == "Actor mailbox purged."
    assert send("DELETE", "{actor}") is None
