from __future__ import annotations

import ast
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.abaco.running import PROBE, Client, RunningGateway

KEY = "a key of thirty-two bytes or more"
SYNCHRONOUS = "_abaco_synchronous"
IMAGES = {
    **PROBE,
    "own": {
        **PROBE["teller"],
        "environment": {"LANG": "de_DE.UTF-8", "of_image": "1", "uuid": "image"},
        "protected": ["SITE_KEY", "LOCALONLY", "catalog"],
        "parameters": ["SESSION", "SITE_*", "LOCALONLY"],
    },
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with an environment of its own, and a key for assertions."""
    running = RunningGateway(
        tmp_path_factory.mktemp("gateway"),
        images=IMAGES,
        settings={"tenants": {"SD2E": {"jwt": {"algorithm": "HS256", "key": KEY}}}},
        environ={
            "GATEWAY_SECRET": "hidden",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "TZ": "Asia/Tokyo",
        },
    )
    with running:
        yield running


@pytest.fixture(scope="module")
def teller(ada: Client) -> str:
    """An actor that tells its environment."""
    return ada.actor("teller")


def asked(client: Client, teller: str, **parameters: str) -> dict[str, str]:
    """The environment of a message with URL parameters."""
    reply = client.ask(teller, {}, **parameters)
    assert reply.status_code == 200, reply.text
    environment: dict[str, str] = reply.json()
    return environment


def dropped(gateway: RunningGateway) -> float:
    """How many parameters were dropped so far."""
    found = re.search(
        r"^abaco_dropped_parameters_total (\S+)$",
        httpx.get(f"{gateway.url}/metrics").text,
        re.MULTILINE,
    )
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("image", ["teller", "cold teller"])
def test_a_process_has_these_variables_and_no_others(
    gateway: RunningGateway, ada: Client, image: str
) -> None:
    actor = ada.actor(image, name="teller", defaultEnvironment={"first": "default", "n": 5})
    reply = ada.result(
        "POST",
        f"/{actor}/messages?uuid=10&first=url&x_session=calm-ox&environment=uuid",
        json={"a": None},
    )
    execution = ada.ended(actor, reply["executionId"])
    environment = ast.literal_eval(ada.result_of(actor, execution["id"]).decode())
    folder = environment["HOME"]
    assert environment == {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "first": "url",
        "n": "5",
        "uuid": "10",
        "x_session": "calm-ox",
        "environment": "uuid",
        "MSG": "{'a': None}",
        "_abaco_Content_Type": "application/json",
        "_abaco_username": "ada",
        "_abaco_api_server": gateway.url,
        "_abaco_execution_id": execution["id"],
        "_abaco_actor_id": actor,
        "_abaco_actor_dbid": f"SD2E_{actor}",
        "_abaco_worker_id": execution["workerId"],
        "_abaco_actor_name": "teller",
        "_abaco_container_repo": image,
        "_abaco_actor_revision": "1",
        "_abaco_actor_state": "{}",
        "_abaco_access_token": "",
        "_actor_configs": "{}",
        "_abaco_results_socket": environment["_abaco_results_socket"],
        "_abaco_first_attempt": "true",
        "_abaco_gateway": Path(folder).name[: -len("12345678")],
    }
    assert Path(environment["_abaco_results_socket"]).parent == Path(folder)


def test_what_the_platform_says_wins_over_everything_else(admin: Client) -> None:
    said = {"MSG": "x", "_abaco_username": "x", "_abaco_actor_id": "x", "_abaco_access_token": "x"}
    own = {"LANG": "C", "PATH": "/bin"}
    actor = admin.actor("teller", defaultEnvironment={**said, **own})
    environment = asked(admin, actor)
    assert (environment["MSG"], environment["_abaco_username"]) == ("{}", "root")
    assert (environment["_abaco_actor_id"], environment["_abaco_access_token"]) == (actor, "")
    assert {name: environment[name] for name in own} == own


def test_the_environment_of_an_image_is_the_lowest_layer(ada: Client) -> None:
    actor = ada.actor("own", defaultEnvironment={"uuid": "actor", "status": "actor"})
    environment = asked(ada, actor, status="url")
    assert environment["LANG"] == "de_DE.UTF-8"
    assert environment["of_image"] == "1"
    assert (environment["uuid"], environment["status"]) == ("actor", "url")


def test_of_a_parameter_that_comes_twice_the_first_counts(ada: Client, teller: str) -> None:
    query = f"{SYNCHRONOUS}=true&uuid=1&uuid=2&x-src=%C3%A4&empty=&message=text&{SYNCHRONOUS}=false"
    environment = ada.post(f"/{teller}/messages?{query}").json()
    assert environment["uuid"] == "1"
    assert environment["x-src"] == "ä"
    assert environment["empty"] == ""
    assert environment[SYNCHRONOUS] == "true"
    assert environment["MSG"] == "text"
    assert "message" not in environment


def test_a_nonce_is_passed_on_and_stands_for_its_owner(
    ada: Client, stranger: Client, teller: str
) -> None:
    nonce = ada.result("POST", f"/{teller}/nonces")["id"]
    environment = asked(stranger, teller, **{"x-nonce": nonce})
    assert environment["x-nonce"] == nonce
    assert environment["_abaco_username"] == "ada"


def test_the_header_of_an_assertion_is_named(
    gateway: RunningGateway, ada: Client, teller: str
) -> None:
    claims = {
        "http://wso2.org/claims/enduser": "ada@carbon.super",
        "http://wso2.org/claims/role": "Internal/everyone",
        "exp": int(time.time()) + 60,
    }
    with Client(gateway.url) as client:
        client.headers["X-Jwt-Assertion-SD2E"] = jwt.encode(claims, KEY, "HS256")
        environment = asked(client, teller)
    assert environment["_abaco_jwt_header_name"] == "X-Jwt-Assertion-Sd2e"
    assert environment["_abaco_username"] == "ada"


def test_an_actor_without_a_name_is_called_none(ada: Client, teller: str) -> None:
    assert asked(ada, teller)["_abaco_actor_name"] == "None"


def test_revision_state_and_configs_are_those_of_the_start(ada: Client, admin: Client) -> None:
    actor = ada.actor("teller", stateless=False)
    ada.result("POST", f"/{actor}/state", json={"tacos": None, "n": [1, "it's"]})
    config = {"name": "kitchen", "value": "hot", "isSecret": False, "actors": actor}
    admin.result("POST", "/configs", json=config)
    ada.result("PUT", f"/{actor}", json={"image": "teller", "stateless": False, "force": True})
    environment = asked(ada, actor)
    assert environment["_abaco_actor_revision"] == "2"
    assert environment["_abaco_actor_state"] == """{'tacos': None, 'n': [1, "it's"]}"""
    assert environment["_actor_configs"] == "{'kitchen': 'hot'}"


def test_a_token_is_good_while_the_execution_lasts(
    gateway: RunningGateway, ada: Client, bob: Client
) -> None:
    actor = ada.actor("cold", token=True)
    ada.result("POST", f"/{actor}/permissions", json={"user": "bob", "level": "EXECUTE"})
    orders = {"tell": ["environment"], "wait for": str(gateway.folder / "go")}
    execution_id = bob.submit(actor, orders)
    content = b""
    while not content:
        content = ada.result_of(actor, execution_id)
    environment = ast.literal_eval(content.decode())["environment"]
    token = environment["_abaco_access_token"]
    with Client(gateway.url, token) as client:
        me = client.get(f"{gateway.url}/profiles/v2/me").json()["result"]
        assert me["username"] == "ada", "the owner's, whoever sends the message"
        (gateway.folder / "go").touch()
        ada.ended(actor, execution_id)
        assert client.get("").status_code == 401


DROPPED = [
    # what interpreters, loaders, shells and libraries read, now or in times to come
    "PATH",
    "LD_PRELOAD",
    "DYLD_INSERT_LIBRARIES",
    "PYTHONPATH",
    "_PYTHON_HOST_PLATFORM",
    "COVERAGE_PROCESS_START",
    "PERL5LIB",
    "NODE_OPTIONS",
    "_JAVA_OPTIONS",
    "BASH_ENV",
    "BASH_FUNC_ls%%",
    "IFS",
    "HOME",
    "TZ",
    "LC_ALL",
    "SSL_CERT_FILE",
    "SOMETHING_NEW",
    "Mixed",
    "_",
    "_private",
    # the same in small letters
    "http_proxy",
    "no_proxy",
    "all_proxy",
    "ftp_proxy",
    "httpsProxy",
    "npm_config_registry",
    "pnpm_config_registry",
    "yarn_registry",
    "fish_function_path",
    "fn_cd",
    "path",
    "prompt",
    "ac_cv_path_SED",
    # what the platform says
    "MSG",
    "_REACTOR_MONGODB_AUTHN",
    "_abaco_username",
    "_abaco_access_token",
    "_abaco_results_socket",
    "_abaco_jwt_header_name",
    "_actor_configs",
    # what no variable is called
    "a.b",
    "a b",
    "a[b]",
    "1",
    "ñandú",
]
ORDINARY = [
    "uuid",
    "token",
    "name",
    "event",
    "status",
    "state",
    "note",
    "session",
    "event_id",
    "x-nonce",
    "x_session",
    "x_src_actor_id",
    "environment",
    "appId",
    "msg",
    "n1",
    "x",
]
"""What people send, and tools for them."""


def test_only_names_that_nothing_obeys_reach_a_process(
    gateway: RunningGateway, ada: Client, teller: str
) -> None:
    before, plain = dropped(gateway), asked(ada, teller)
    environment = asked(ada, teller, **dict.fromkeys(DROPPED, "evil-value"))
    changing = ("_abaco_execution_id", "HOME", "TMPDIR", "_abaco_results_socket")
    assert {name: plain[name] for name in plain if name not in changing} == {
        name: environment[name] for name in environment if name not in changing
    }
    assert "evil-value" not in environment.values()
    assert dropped(gateway) == before + len(DROPPED)
    log = gateway.log.read_text()
    names = "'PATH', 'LD_PRELOAD', "
    assert f"actor {teller}: URL parameters dropped: {names}" in log
    assert "evil-value" not in log


def test_a_sender_is_told_what_does_not_reach_the_process(ada: Client, teller: str) -> None:
    reply = ada.post(f"/{teller}/messages?uuid=1&PATH=x&FOO=y", json={})
    assert reply.json()["message"] == "The message is sent without 'PATH', 'FOO'"
    reply = ada.post(f"/{teller}/messages?uuid=1", json={})
    assert reply.json()["message"] == "The request was successful"


def test_what_people_send_reaches_the_process_as_it_was_written(
    gateway: RunningGateway, ada: Client, teller: str
) -> None:
    before = dropped(gateway)
    environment = asked(ada, teller, **{name: f"of {name}" for name in ORDINARY})
    for name in ORDINARY:
        assert environment[name] == f"of {name}"
    assert dropped(gateway) == before


def test_an_image_lets_further_names_in_and_keeps_its_own(ada: Client) -> None:
    actor = ada.actor("own")
    given = dict.fromkeys(("SESSION", "SITE_A", "SITE", "SITE_KEY", "LOCALONLY", "catalog"), "x")
    environment = asked(ada, actor, **given)
    assert {name for name in given if name in environment} == {"SESSION", "SITE_A"}


UNFIT = [
    ("event_id=a%00b", "'event_id' in the URL has a NUL"),
    ("event_id%00=1", r"'event_id\x00' in the URL has a NUL"),
    ("event_id=%ff-secret", "'event_id' in the URL is not UTF-8"),
    ("event_id=%ed%a0%80", "'event_id' in the URL is not UTF-8"),
    ("event%ff=1", r"'event\\xff' in the URL is not UTF-8"),
    ("=secret", "'' in the URL cannot be passed to a process"),
    ("a%3Db=secret", "'a=b' in the URL cannot be passed to a process"),
]


@pytest.mark.parametrize(("query", "problem"), UNFIT, ids=[query for query, _ in UNFIT])
def test_what_cannot_be_kept_as_it_was_sent_is_refused_by_name(
    ada: Client, teller: str, query: str, problem: str
) -> None:
    message = ada.refusal("POST", f"/{teller}/messages?uuid=1&{query}", json={})
    assert message == f"The parameter {problem}."
    assert ada.result("GET", f"/{teller}/messages")["messages"] == 0


def test_the_name_of_a_dropped_parameter_cannot_forge_a_line_of_the_log(
    gateway: RunningGateway, ada: Client, teller: str
) -> None:
    asked(ada, teller, **{"LD_\n2026-01-01 ERROR forged": "x"})
    assert "\n2026-01-01" not in gateway.log.read_text()


def test_many_parameters_are_passed(ada: Client) -> None:
    given: dict[str, Any] = {f"name-{number}": str(number) for number in range(500)}
    environment = asked(ada, ada.actor("cold teller"), **given)
    assert given.items() <= environment.items()
