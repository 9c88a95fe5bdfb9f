from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
import schemathesis
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from abaco.http.envelope import VERSION
from tests.abaco.running import Client, RunningGateway, eventually

ALONE = True
"""Its aliases and actors are counted and named."""
TABLE = """
GET /healthz
GET /readyz
GET /metrics
GET /openapi.json
GET /docs
POST /token
GET /profiles/v2/{}
GET POST /actors/v2
GET /actors/v2/utilization
GET /actors/v2/search/{}
GET PUT DELETE /actors/v2/{}
GET POST DELETE /actors/v2/{}/messages
GET /actors/v2/{}/executions
GET DELETE /actors/v2/{}/executions/{}
GET /actors/v2/{}/executions/{}/logs
GET /actors/v2/{}/executions/{}/results
GET POST /actors/v2/{}/nonces
GET DELETE /actors/v2/{}/nonces/{}
GET POST /actors/v2/{}/permissions
GET POST /actors/v2/{}/workers
GET DELETE /actors/v2/{}/workers/{}
GET POST /actors/v2/{}/state
GET POST /actors/v2/aliases
GET PUT DELETE /actors/v2/aliases/{}
GET POST /actors/v2/aliases/{}/nonces
GET DELETE /actors/v2/aliases/{}/nonces/{}
GET POST /actors/v2/aliases/{}/permissions
GET POST /actors/v2/configs
GET PUT DELETE /actors/v2/configs/{}
GET POST /actors/v2/configs/{}/permissions
"""
METHODS = ("get", "post", "put", "delete")


@pytest.fixture(scope="module")
def document(gateway: RunningGateway, stranger: Client) -> dict[str, Any]:
    reply = stranger.get(f"{gateway.url}/openapi.json")
    assert reply.headers["content-type"] == "application/json"
    content: dict[str, Any] = reply.json()
    return content


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def references(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        if "$ref" in content:
            yield content["$ref"]
        content = list(content.values())
    for child in content if isinstance(content, list) else ():
        yield from references(child)


def test_health_is_told_to_everybody(stranger: Client, gateway: RunningGateway) -> None:
    for path, message in (
        ("healthz", "The gateway is alive."),
        ("readyz", "The gateway is ready."),
    ):
        reply = stranger.get(f"{gateway.url}/{path}")
        assert reply.status_code == 200
        assert (reply.json()["message"], reply.json()["result"]) == (message, None)


def test_every_endpoint_is_in_the_document(document: dict[str, Any]) -> None:
    found = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path)) for method, path, _ in operations(document)
    }
    lines = [line.split() for line in TABLE.strip().splitlines()]
    assert found == {(method, path) for *methods, path in lines for method in methods}


def test_every_endpoint_of_the_document_is_served(
    document: dict[str, Any], stranger: Client, gateway: RunningGateway
) -> None:
    for method, path, operation in operations(document):
        reply = stranger.request(method, gateway.url + re.sub(r"\{\w+\}", "X", path))
        assert str(reply.status_code) in operation["responses"], (method, path)
        assert (reply.status_code == 200) == (operation["security"] == [] and method == "get")


def test_the_document_is_sound(document: dict[str, Any], gateway: RunningGateway) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == VERSION
    assert document["servers"] == [{"url": gateway.url}]
    schemathesis.openapi.from_dict(document).validate()
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)


def test_every_reference_of_the_document_resolves(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert "#/components/schemas/Actor" in found
    for reference in found:
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_parameter_of_a_path_is_described(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path)), (method, path)


def test_the_document_says_which_credential_is_good_where(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        schemes = {name for each in operation["security"] for name in each}
        if path == "/token":
            assert schemes == {"basic"}
        elif not path.startswith(("/actors", "/profiles")):
            assert schemes == set(), (method, path)
        elif "{actor}" in path or "{alias}" in path:
            assert schemes == {"bearer", "nonce"}, (method, path)
        else:
            assert schemes == {"bearer"}, (method, path)


def test_replies_are_as_the_document_says(
    document: dict[str, Any], ada: Client, gateway: RunningGateway
) -> None:
    actor = ada.actor("cold", name="tacobot", stateless=False, hints=["a"], logEx=60)
    execution = ada.run(actor, {"results": ["tacos"], "print": "done"})["id"]
    ada.result("POST", "/aliases", json={"alias": "chef", "actorId": actor})
    ada.result("POST", "/configs", json={"name": "key", "value": "1", "actors": actor})
    names = {
        "actor": actor,
        "execution": execution,
        "alias": "chef",
        "config": "key",
        "user": "me",
        "kind": "executions",
        "worker": ada.result("GET", f"/{actor}/workers")[0]["id"],
    }
    nonces = {
        base: ada.result("POST", f"{base}/nonces")["id"] for base in (f"/{actor}", "/aliases/chef")
    }
    checked = 0
    for method, path, operation in operations(document):
        if method != "get":
            continue
        base = "/aliases/chef" if "{alias}" in path else f"/{actor}"
        url = gateway.url + path.format(**names, nonce=nonces[base])
        for query in ("", "?limit=10") if path.endswith(("/v2", "executions")) else ("",):
            reply = ada.get(url + query)
            assert reply.status_code == 200, url
            kind = reply.headers["content-type"].partition(";")[0]
            schema = operation["responses"]["200"]["content"][kind]["schema"]
            if kind == "application/json":
                schema = {**schema, "components": document["components"]}
                Draft202012Validator(schema).validate(reply.json())
                checked += 1
    assert checked > 20


def test_all_that_is_shown_is_documented(document: dict[str, Any], gateway: RunningGateway) -> None:
    with gateway.admin() as admin:
        actor = admin.actor(
            name="full",
            maxWorkers=1,
            memLimit="1g",
            maxCpus="1",
            logEx=60,
            cronSchedule="2999-12-01 08 + 1 day",
        )
        execution = admin.run(actor, {"exit": 0})["id"]
        for schema, path in (
            ("Actor", f"/{actor}"),
            ("Execution", f"/{actor}/executions/{execution}"),
            ("Profile", f"{gateway.url}/profiles/v2/me"),
        ):
            properties = document["components"]["schemas"][schema]["properties"]
            assert set(admin.result("GET", path)) <= set(properties)
        [worker] = admin.result("GET", f"/{actor}/workers")
    assert set(worker) <= set(document["components"]["schemas"]["Worker"]["properties"])


class Page(HTMLParser):
    """What a page shows, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shown = ""
        self.loaded: list[str] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.shown += data

    def handle_starttag(
        self,
        tag: str,  # noqa: ARG002 - its signature
        attrs: list[tuple[str, str | None]],
    ) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_document_can_be_read_as_a_page(
    document: dict[str, Any], stranger: Client, gateway: RunningGateway
) -> None:
    reply = stranger.get(f"{gateway.url}/docs")
    assert reply.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    page = Page(reply.text)
    for _, path, operation in operations(document):
        assert path in page.shown
        assert operation["summary"] in page.shown
    assert page.loaded == ["/openapi.json"]


def metrics(client: Client, gateway: RunningGateway) -> dict[tuple[str, ...], float]:
    """Return the values by name and labels."""
    reply = client.get(f"{gateway.url}/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def test_metrics_count_requests_actors_and_executions(
    ada: Client, stranger: Client, gateway: RunningGateway
) -> None:
    actor = ada.actor()
    before = metrics(stranger, gateway)
    ada.run(actor, {"exit": 0}, params={"PATH": "/elsewhere", "uuid": "1"})
    ada.get("/nobody")
    stranger.get(f"/{actor}", headers={"Authorization": "Bearer wrong"})
    ada.actor()
    after = metrics(stranger, gateway)

    def growth(*name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert growth("abaco_requests_total", "POST", "/actors/{actor}/messages", "200") == 1
    assert growth("abaco_requests_total", "GET", "/actors/{actor}", "404") == 1
    assert growth("abaco_requests_total", "GET", "/actors/{actor}", "401") == 1
    assert growth("abaco_request_seconds_count", "POST", "/actors/{actor}/messages") == 1
    assert growth("abaco_dropped_parameters_total") == 1
    assert growth("abaco_executions", "COMPLETE") == 1
    assert growth("abaco_actors", "READY") == 1


def test_metrics_count_the_workers_that_are_busy(
    ada: Client, stranger: Client, gateway: RunningGateway
) -> None:
    def are_busy(number: int) -> bool:
        return metrics(stranger, gateway)["abaco_workers_busy",] == number

    actor, file = ada.actor(), gateway.folder / "go on"
    execution = ada.submit(actor, {"wait for": str(file)})
    eventually(lambda: are_busy(1))
    file.touch()
    ada.ended(actor, execution)
    eventually(lambda: are_busy(0))


def test_metrics_name_nobody(ada: Client, stranger: Client, gateway: RunningGateway) -> None:
    actor = ada.actor(name="secret-name")
    nonce = ada.result("POST", f"/{actor}/nonces")["id"]
    stranger.get(f"/{actor}", params={"x-nonce": nonce})
    text = stranger.get(f"{gateway.url}/metrics").text
    for secret in (actor, nonce, "ada", "secret-name"):
        assert secret not in text
