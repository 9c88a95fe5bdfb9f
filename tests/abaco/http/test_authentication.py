from __future__ import annotations

import base64
import functools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.abaco.running import ADMIN, EVERYONE, NOWHERE, Client, RunningGateway, eventually
from tests.conftest import ROOT
from tests.docs.pages import blocks

NO_CREDENTIAL = "No JWT or nonce provided."
NO_ROLE = "Not authorized -- missing required role."
SHARED_KEY = "a key that two sides share, longer than what any of the algorithms needs"
USER = "http://wso2.org/claims/enduser"
ROLE = "http://wso2.org/claims/role"
HEADER = "X-Jwt-Assertion"


@functools.cache
def key_of(_owner: str) -> rsa.RSAPrivateKey:
    """Return somebody's key: not before a test needs it, which takes its time to make."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with a tenant for each kind of key, and one without."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "key.pem").write_bytes(public(key_of("SD2E")))
    tenants = {
        "SD2E": {"jwt": {"algorithm": "RS256", "key_file": "key.pem"}},
        "TACC": {"jwt": {"algorithm": "HS256", "key": SHARED_KEY}},
        "OPEN": None,
        "DEV-STAGING": {"jwt": {"algorithm": "HS256", "key": SHARED_KEY}},
    }
    running = RunningGateway(folder, settings={"tenants": tenants}).start()
    yield running
    assert running.stop() == 0, running.log.read_text()


def assertion(key: rsa.RSAPrivateKey | str, algorithm: str, **claims: Any) -> str:
    claims = {USER: "ada@carbon.super", ROLE: EVERYONE, "exp": time.time() + 60, **claims}
    return jwt.encode(claims, key, algorithm)


def unsigned() -> str:
    return assertion("", "none")


def confused() -> str:
    """An assertion for RS256, signed with the public key as if that were shared."""
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    signed = assertion(key_of("SD2E"), "RS256").split(".")[1].encode()
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        head + b"." + signed, public(key_of("SD2E"))
    )
    return b".".join((head, signed, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()


def tampered() -> str:
    """An assertion with the claims of another and its own signature."""
    head, _, signature = assertion(key_of("SD2E"), "RS256").split(".")
    claims = assertion(key_of("SD2E"), "RS256", **{ROLE: ADMIN}).split(".")[1]
    return f"{head}.{claims}.{signature}"


def who(client: Client, gateway: RunningGateway, **headers: str) -> str:
    profile = client.result("GET", f"{gateway.url}/profiles/v2/me", headers=headers)
    return str(profile["username"])


def assert_fault(client: Client, **headers: str) -> None:
    reply = client.get(
        "", headers=[(name.encode(), text.encode()) for name, text in headers.items()]
    )
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert sorted(reply.json()) == ["fault"]
    fault = reply.json()["fault"]
    assert (fault["code"], fault["message"]) == (900904, "Invalid Credentials")
    assert fault["description"].startswith("Access failure for API: /actors, version: v2.")


def test_without_a_credential(stranger: Client) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/X"), ("POST", "/X/messages")):
        assert stranger.refusal(method, path) == NO_CREDENTIAL


def test_a_token_says_who_its_user_is(
    stranger: Client, ada: Client, gateway: RunningGateway
) -> None:
    assert who(ada, gateway) == "ada"
    lower = ada.headers["authorization"].replace("Bearer", "bearer")
    assert who(stranger, gateway, Authorization=lower) == "ada"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer wrong",
        "Bearer",
        "Basic YTpi",
        "{token}",
        "Bearer \xe4",
        "Bearer {token}x",
    ],
)
def test_a_wrong_token_is_answered_as_agavepy_expects(
    stranger: Client, gateway: RunningGateway, header: str
) -> None:
    assert_fault(stranger, Authorization=header.format(token=gateway.token()))


def test_the_command_line_makes_and_revokes_tokens(
    stranger: Client, gateway: RunningGateway
) -> None:
    def run(*arguments: str) -> str:
        return gateway.call("token", *arguments).strip()

    token = run("create", "--user", "grace", "--label", "of a test")
    assert who(stranger, gateway, Authorization=f"Bearer {token}") == "grace"
    listed = [line for line in run("list").splitlines() if line.endswith("of a test")]
    assert token not in listed[0]
    run("revoke", listed[0].split("\t")[0])
    # a running gateway asks again within a second
    signed = {"Authorization": f"Bearer {token}"}
    eventually(lambda: stranger.get("", headers=signed).status_code == 401)
    assert_fault(stranger, **signed)


def test_a_token_expires(stranger: Client, gateway: RunningGateway) -> None:
    assert_fault(stranger, Authorization=f"Bearer {gateway.grant(lifetime=-1).access}")


def test_the_token_of_a_tenant_that_is_no_more(stranger: Client, gateway: RunningGateway) -> None:
    assert_fault(stranger, Authorization=f"Bearer {gateway.token(tenant='GONE')}")


def test_a_token_is_kept_nowhere(ada: Client, gateway: RunningGateway) -> None:
    actor = ada.actor()
    nonce = ada.result("POST", f"/{actor}/nonces")["id"]
    with Client(gateway.url) as client:
        client.get(f"/{actor}", params={"x-nonce": nonce})
        client.get("", headers={"Authorization": "Bearer hunter2"})
    token = ada.headers["authorization"].removeprefix("Bearer ").encode()
    files = [path for path in Path(gateway.folder).rglob("*") if path.is_file()]
    assert gateway.folder / "data" / "abaco.db" in files
    for path in files:
        assert token not in path.read_bytes(), path
    log = gateway.log.read_text()
    assert nonce not in log
    assert "hunter2" not in log


@pytest.mark.parametrize(
    "role",
    [
        "Internal/everyone",
        "Internal/abaco-user",
        "Internal/abaco-limited",
        "Internal/abaco-privileged",
        "Internal/abaco-admin",
    ],
)
def test_each_of_these_roles_is_enough(gateway: RunningGateway, role: str) -> None:
    with gateway.client("grace", ["Internal/other", role]) as client:
        assert client.get("").status_code == 200


@pytest.mark.parametrize("roles", [[], ["everyone"], ["Internal/other", "internal/everyone"]])
def test_without_such_a_role(gateway: RunningGateway, roles: list[str]) -> None:
    with gateway.client("grace", roles) as client:
        assert client.refusal("GET", "") == NO_ROLE
        assert client.refusal("POST", "", json={"image": NOWHERE}) == NO_ROLE


@pytest.mark.parametrize(
    ("tenant", "key", "algorithm"),
    [("SD2E", lambda: key_of("SD2E"), "RS256"), ("TACC", lambda: SHARED_KEY, "HS256")],
    ids=["SD2E", "TACC"],
)
@pytest.mark.parametrize(
    ("enduser", "user"),
    [("ada", "ada"), ("ada@carbon.super", "ada"), ("SD2E/ada@carbon.super", "ada")],
)
def test_an_assertion_says_who_its_user_is(
    stranger: Client,
    gateway: RunningGateway,
    tenant: str,
    key: Callable[[], rsa.RSAPrivateKey | str],
    algorithm: str,
    enduser: str,
    user: str,
) -> None:
    signed = assertion(key(), algorithm, **{USER: enduser})
    for name in (f"{HEADER}-{tenant}", f"x-jwt-assertion-{tenant.lower()}"):
        assert who(stranger, gateway, **{name: signed}) == user


@pytest.mark.parametrize("suffix", ["DEV-STAGING", "dev-staging", "dev_staging"])
def test_an_assertion_is_of_a_tenant_with_a_hyphen(
    stranger: Client, gateway: RunningGateway, suffix: str
) -> None:
    signed = {f"{HEADER}-{suffix}": assertion(SHARED_KEY, "HS256")}
    assert who(stranger, gateway, **signed) == "ada"
    with gateway.client("ada", tenant="DEV-STAGING") as ada:
        actor = ada.actor(NOWHERE)
        assert stranger.result("GET", f"/{actor}", headers=signed)["owner"] == "ada"


def test_the_program_in_the_documentation_makes_an_assertion_that_holds(
    stranger: Client, gateway: RunningGateway
) -> None:
    (program,) = (
        block.text
        for block in blocks(ROOT / "docs" / "gateway.md")
        if block.language == "python" and "claims" in block.text
    )
    shared = "the key that both sides share"
    assert shared in program
    done = subprocess.run(
        [sys.executable, "-c", program.replace(shared, SHARED_KEY)],
        capture_output=True,
        text=True,
        check=True,
    )
    signed = {f"{HEADER}-DEV-STAGING": done.stdout.strip()}
    assert who(stranger, gateway, **signed) == "ada"
    # what only a privileged user may choose
    wanted = {"image": NOWHERE, "maxWorkers": 2}
    assert stranger.result("POST", "", headers=signed, json=wanted)["owner"] == "ada"


def test_all_that_has_the_name_of_its_tenant_may_have_its_hyphen(
    stranger: Client, gateway: RunningGateway, ada: Client
) -> None:
    made = gateway.call("token", "create", "--user", "ada", "--tenant", "dev-staging")
    with Client(gateway.url, made.strip()) as there:
        actor = there.actor("teller")
        assert ada.get(f"/{actor}").status_code == 404
        nonce = there.result("POST", f"/{actor}/nonces")["id"]
        assert re.fullmatch("DEV-STAGING_[A-Za-z0-9]+", nonce)
        sent = stranger.result(
            "POST", f"/{actor}/messages", params={"x-nonce": nonce}, json={"a": 1}
        )
        there.ended(actor, sent["executionId"])
        told = json.loads(there.result_of(actor, sent["executionId"]))
    assert told["_abaco_actor_dbid"] == f"DEV-STAGING_{actor}"
    assert told["x-nonce"] == nonce


def test_an_assertion_has_roles(stranger: Client) -> None:
    def headers(roles: str) -> dict[str, str]:
        return {f"{HEADER}-SD2E": assertion(key_of("SD2E"), "RS256", **{ROLE: roles})}

    assert stranger.refusal("GET", "", headers=headers("Internal/other")) == NO_ROLE
    everyone, both = headers("Internal/other,Internal/everyone"), headers(f"{EVERYONE}, {ADMIN}")
    wanted = {"image": NOWHERE, "maxWorkers": 2}
    message = "Not authorized -- only admins and privileged users can set max workers."
    assert stranger.refusal("POST", "", headers=everyone, json=wanted) == message
    assert stranger.post("", headers=both, json=wanted).status_code == 200


def test_the_older_header_is_of_the_first_tenant(
    stranger: Client, ada: Client, gateway: RunningGateway
) -> None:
    signed = assertion(key_of("SD2E"), "RS256")
    assert who(stranger, gateway, Assertion=signed) == "ada"
    actor = ada.actor(NOWHERE)
    assert stranger.get(f"/{actor}", headers={"Assertion": signed}).status_code == 200
    assert_fault(stranger, Assertion=assertion(SHARED_KEY, "HS256"))


REFUSED: dict[str, tuple[str, Callable[[], str]]] = {
    "another's RSA key": ("SD2E", lambda: assertion(key_of("somebody else"), "RS256")),
    "RS512 for RS256": ("SD2E", lambda: assertion(key_of("SD2E"), "RS512")),
    "HS256 for RS256": ("SD2E", lambda: assertion(SHARED_KEY, "HS256")),
    "the public key as a shared one": ("SD2E", confused),
    "unsigned": ("SD2E", unsigned),
    "other claims": ("SD2E", tampered),
    "expired": ("SD2E", lambda: assertion(key_of("SD2E"), "RS256", exp=time.time() - 1)),
    "too early": (
        "SD2E",
        lambda: assertion(key_of("SD2E"), "RS256", nbf=time.time() + 600),
    ),
    "no user": ("SD2E", lambda: assertion(key_of("SD2E"), "RS256", **{USER: ""})),
    "a tenant only": (
        "SD2E",
        lambda: assertion(key_of("SD2E"), "RS256", **{USER: "@carbon.super"}),
    ),
    "empty": ("SD2E", lambda: ""),
    "a number": ("SD2E", lambda: "123"),
    "three letters": ("SD2E", lambda: "a.b.c"),
    "another shared key": ("TACC", lambda: assertion(SHARED_KEY + "!", "HS256")),
    "HS512 for HS256": ("TACC", lambda: assertion(SHARED_KEY, "HS512")),
    "RS256 for HS256": ("TACC", lambda: assertion(key_of("SD2E"), "RS256")),
    "unsigned for HS256": ("TACC", unsigned),
    "no key configured": ("OPEN", lambda: assertion(SHARED_KEY, "HS256")),
    "unsigned and no key": ("OPEN", unsigned),
    "unknown tenant": ("NOBODY", lambda: assertion(key_of("SD2E"), "RS256")),
    "no tenant": ("", lambda: assertion(key_of("SD2E"), "RS256")),
    "underscore": ("dev_sandbox", lambda: "123"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_assertion_that_does_not_hold(stranger: Client, name: str) -> None:
    tenant, signed = REFUSED[name]
    assert_fault(stranger, **{f"{HEADER}-{tenant}": signed()})


def test_an_actor_is_told_the_header_of_the_assertion(stranger: Client, ada: Client) -> None:
    actor = ada.actor()
    message = {"tell": ["environment"]}
    headers = {f"{HEADER}-SD2E": assertion(key_of("SD2E"), "RS256")}
    sent = stranger.post(
        f"/{actor}/messages?_abaco_synchronous=true", json=message, headers=headers
    )
    told = sent.json()["environment"]
    assert told["_abaco_username"] == "ada"
    assert told["_abaco_jwt_header_name"] == "X-Jwt-Assertion-Sd2e"
    assert "_abaco_jwt_header_name" not in ada.ask(actor, message).json()["environment"]


def test_a_credential_in_a_header_leaves_the_nonce_unused(
    stranger: Client, ada: Client, bob: Client
) -> None:
    actor = ada.actor(NOWHERE)
    nonce = ada.result("POST", f"/{actor}/nonces", json={"maxUses": 1})["id"]
    credential = {"x-nonce": nonce}
    refused = "Not authorized -- you do not have access to this actor."
    assert bob.refusal("GET", f"/{actor}", params=credential) == refused
    for headers in ({"Authorization": "Bearer wrong"}, {f"{HEADER}-dev_sandbox": "123"}):
        reply = stranger.get(f"/{actor}", params=credential, headers=headers)
        assert reply.status_code == 401
    assert ada.get(f"/{actor}", params=credential).status_code == 200
    assert ada.result("GET", f"/{actor}/nonces/{nonce}")["remainingUses"] == 1
    assert stranger.get(f"/{actor}", params=credential).status_code == 200
    assert ada.result("GET", f"/{actor}/nonces/{nonce}")["remainingUses"] == 0
