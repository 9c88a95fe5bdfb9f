"""`make deploy`, `nonce`, `nonces`, `alias` and `logs` at a gateway, with every client that there is."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from datacatalog.mongo import Db, Document
from tests.abaco.running import ADMIN, EVERYONE, NOWHERE, PROBE, Client, RunningGateway, eventually
from tests.conftest import ROOT
from tests.deployment.checkout import HUSH, Checkout, actors

NAME = "pipelinejobs-manager"
TENANT = "https://api.tacos.example"
"""What the gateway is called by those who come through its tunnel, and take it for a tenant."""
REGISTERED = "tacos/manager:1"
"""The name of an image in a registry."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with the actor's own image, and one that only prints."""
    manager = yaml.safe_load((ROOT / "images.yml").read_text())[NAME]
    prints = {name: {**image, "variables": ["HUSH", "MORE"]} for name, image in PROBE.items()}
    images = {**prints, NAME: {**manager, "folder": str(ROOT)}, REGISTERED: prints["cold"]}
    with RunningGateway(tmp_path_factory.mktemp("gateway"), images) as running:
        yield running


@pytest.fixture
def ada(gateway: RunningGateway) -> Iterator[Client]:
    with gateway.client("ada") as client:
        yield client


@pytest.fixture
def checkout(tmp_path: Path, gateway: RunningGateway) -> Checkout:
    """Ada's, who is signed in at the local gateway and deploys the image that prints."""
    checkout = Checkout(tmp_path).sign_in(gateway)
    checkout.environ["DOCKER_IMAGE_TAG"] = "cold"
    return checkout


def as_tenant(checkout: Checkout, gateway: RunningGateway) -> Checkout:
    """Let Ada deploy to the gateway as to a tenant elsewhere, from a registry."""
    checkout.sign_in(gateway, server=TENANT)
    checkout.environ |= {"HTTPS_PROXY": gateway.url, "DOCKER_IMAGES": REGISTERED}
    checkout.environ |= {"DOCKER_HUB_ORG": "tacos", "DOCKER_IMAGE_TAG": "manager"}
    checkout.environ["DOCKER_IMAGE_VERSION"] = "1"
    return checkout


# The manager, from nothing to a job that moves


def test_what_is_deployed_moves_jobs(
    checkout: Checkout, gateway: RunningGateway, mongodb: dict[str, Any], job: Document, db: Db
) -> None:
    checkout.sign_in(gateway, roles=(EVERYONE, ADMIN))
    del checkout.environ["DOCKER_IMAGE_TAG"]
    secrets = {
        "_REACTOR_MONGODB_AUTHN": mongodb["authn"],
        "_REACTOR_MONGODB_DATABASE": mongodb["database"],
    }
    checkout.write_secrets(secrets)
    actor = checkout.deploy()
    made = checkout.make("nonce", MAX_USES="2")
    nonce = made.out.strip()
    assert made.err == f"Who has it has the level EXECUTE of actor {actor}, 2 times.\n"
    query = {"x-nonce": nonce, "uuid": job["uuid"], "event": "run", "token": job["_update_token"]}
    with Client(gateway.url) as platform:
        sent = platform.result("POST", f"/{actor}/messages", params=query, json={"a": 1})

    def moved() -> bool:
        found = db["jobs"].find_one({"uuid": job["uuid"]})
        return found is not None and found["state"] == "RUNNING"

    eventually(moved)
    with gateway.client("ada") as client:
        client.ended(actor, sent["executionId"])
    row = checkout.make("nonces").out.splitlines()[1].split()
    assert row[:3] == [nonce, "EXECUTE", "1"]
    logs = checkout.make("logs")
    assert logs.err == f"execution {sent['executionId']}: COMPLETE, exit code 0\n"
    assert job["uuid"] in logs.out
    assert not {*secrets.values(), job["_update_token"]} & {*logs.out.split()}


# Create, then update


def test_the_plan_names_the_secrets_and_does_nothing(checkout: Checkout, ada: Client) -> None:
    before = actors(ada)
    done = checkout.make("deploy", DRY_RUN="1")
    assert done.code == 0, done.err
    assert done.table["image"] == "cold, not pushed"
    assert done.table["actor"] == f"{NAME}, a new one"
    assert done.table["secrets"] == "HUSH"
    assert done.table["with"] == "the API"
    assert done.out.endswith("Nothing was done: this was a dry run.\n")
    assert actors(ada) == before
    assert not (checkout.folder / ".local").exists()


def test_the_second_deployment_updates_what_the_first_created(
    checkout: Checkout, ada: Client
) -> None:
    before = actors(ada)
    actor = checkout.deploy(REACTOR_NAME="first")
    assert checkout.run("deploy", DRY_RUN="1").table["actor"] == f"{NAME}, update of {actor}"
    checkout.write_secrets({"HUSH": HUSH, "MORE": "x"})
    assert checkout.deploy(DOCKER_IMAGE_TAG="warm", REACTOR_DESCRIPTION="new") == actor
    assert actors(ada) - before == {actor}
    shown = ada.result("GET", f"/{actor}")
    assert (shown["name"], shown["image"], shown["revision"]) == ("first", "warm", 2)
    assert (shown["description"], shown["token"], shown["stateless"]) == ("new", True, True)
    assert shown["defaultEnvironment"] == {"HUSH": HUSH, "MORE": "x"}


def test_an_actor_that_keeps_a_state_is_updated_too(checkout: Checkout, ada: Client) -> None:
    actor = checkout.deploy(REACTOR_STATELESS="0")
    assert checkout.deploy(REACTOR_STATELESS="0") == actor
    assert ada.result("GET", f"/{actor}")["stateless"] is False


def test_the_local_gateways_actor_is_not_taken_for_a_tenants(
    checkout: Checkout, gateway: RunningGateway
) -> None:
    local = checkout.deploy()
    assert (checkout.folder / ".local" / "ACTOR_ID").read_text() == f"{local}\n"
    away = as_tenant(checkout, gateway).deploy(NO_PUSH="1")
    assert away != local
    assert (checkout.folder / ".ACTOR_ID").read_text() == f"{away}\n"


def test_an_actor_that_cannot_run_is_said_and_updated_later(
    checkout: Checkout, ada: Client
) -> None:
    failed = checkout.run("deploy", DOCKER_IMAGE_TAG=NOWHERE)
    assert failed.code != 0
    assert failed.error.startswith(f"the actor cannot run: image {NOWHERE} is not known here")
    before = actors(ada)
    assert checkout.deploy() in before


def test_workers_are_started_by_those_who_may(
    checkout: Checkout, gateway: RunningGateway, ada: Client
) -> None:
    refused = checkout.run("deploy", REACTOR_WORKERS="2")
    assert "Not authorized -- only admins are authorized to update workers." in refused.error
    actor = (checkout.folder / ".local" / "ACTOR_ID").read_text().strip()
    cache = Path(checkout.environ["AGAVE_CACHE_DIR"]) / "current"
    root = gateway.token("root", (EVERYONE, ADMIN))
    cache.write_text(json.dumps({"baseurl": gateway.url, "access_token": root}))
    assert checkout.deploy(REACTOR_WORKERS="2") == actor
    assert len(ada.result("GET", f"/{actor}/workers")) == 2


# Alias, logs, actors by name


def test_an_alias_stands_for_what_was_deployed_last(checkout: Checkout, ada: Client) -> None:
    first = checkout.deploy()
    said = [checkout.run("alias", REACTOR_ALIAS="taco-bot").out for _ in range(2)]
    assert said == [
        f"taco-bot stands for {first}.\n",
        f"taco-bot stands for {first} already.\n",
    ]
    (checkout.folder / ".local" / "ACTOR_ID").unlink()
    second = checkout.deploy()
    moved = checkout.run("alias", REACTOR_ALIAS="taco-bot")
    assert moved.out == f"taco-bot stands for {second}, no longer for {first}.\n"
    assert ada.result("GET", "/taco-bot")["id"] == second
    assert "set REACTOR_ALIAS in reactor.rc" in checkout.run("alias", REACTOR_ALIAS="").error
    back = checkout.run("alias", REACTOR_ALIAS="taco-bot", ACTOR=first)
    assert back.out == f"taco-bot stands for {first}, no longer for {second}.\n"
    checkout.run("nonce", ACTOR="taco-bot", LEVEL="READ")
    (nonce,) = ada.result("GET", f"/{first}/nonces")
    assert (nonce["level"], nonce["remainingUses"]) == ("READ", -1)


def test_logs_are_of_the_latest_execution_or_of_a_named_one(
    checkout: Checkout, ada: Client
) -> None:
    actor = checkout.deploy()
    first = ada.run(actor, {"print": "one"})["id"]
    second = ada.run(actor, {"print": "two"})["id"]
    latest = checkout.run("logs")
    assert (latest.out, latest.err) == ("two\n", f"execution {second}: COMPLETE, exit code 0\n")
    assert checkout.run("logs", EXECUTION=first).out == "one\n"
    assert "No executions found" in checkout.run("logs", EXECUTION="JqK3rMpGqBxYz").error


# The programs that are installed


def test_with_the_bash_cli_it_is_created_and_updated(checkout: Checkout, ada: Client) -> None:
    checkout.install("abaco")
    actor = checkout.deploy()
    assert checkout.deploy() == actor
    create, update = checkout.calls("abaco")
    common = ["-f", "-E", "secrets.json"]
    assert create == ["create", *common, "-n", NAME, "cold"]
    assert update == ["update", *common, actor, "cold"]
    shown = ada.result("GET", f"/{actor}")
    assert (shown["name"], shown["revision"], shown["token"]) == (NAME, 2, True)
    assert shown["defaultEnvironment"] == {"HUSH": HUSH}


@pytest.mark.parametrize("secret", ["it's", "`id`", "$(id)"])
def test_a_secret_that_the_bash_cli_would_run_goes_by_the_api(
    checkout: Checkout, ada: Client, secret: str
) -> None:
    checkout.install("abaco")
    checkout.write_secrets({"HUSH": secret})
    refused = checkout.run("deploy", DRY_RUN="1", CLIENT="abaco")
    assert refused.error.startswith("abaco would run what a shell obeys in HUSH")
    assert secret not in refused.error.replace("(' or ` or $()", "")
    actor = checkout.deploy()
    assert ada.result("GET", f"/{actor}")["defaultEnvironment"] == {"HUSH": secret}


def test_a_name_that_the_bash_cli_would_run_goes_by_the_api(checkout: Checkout) -> None:
    checkout.install("abaco")
    refused = checkout.run("deploy", DRY_RUN="1", CLIENT="abaco", REACTOR_NAME="x'$(id)'")
    assert refused.error.startswith("abaco would run what a shell obeys in REACTOR_NAME")
    assert checkout.run("deploy", DRY_RUN="1", REACTOR_NAME="x`id`").table["with"] == "the API"


@pytest.mark.skipif(shutil.which("abaco") is None, reason="the bash CLI abaco is not installed")
def test_the_real_bash_cli_creates_and_updates_an_actor_that_keeps_its_tokens(
    checkout: Checkout, ada: Client
) -> None:
    checkout.environ["PATH"] = os.environ["PATH"]
    actor = checkout.deploy(CLIENT="abaco")
    assert checkout.deploy(CLIENT="abaco") == actor
    shown = ada.result("GET", f"/{actor}")
    assert (shown["revision"], shown["token"]) == (2, True)
    assert shown["defaultEnvironment"] == {"HUSH": HUSH}


def test_an_actor_without_access_tokens_is_seen(checkout: Checkout) -> None:
    checkout.install("abaco")
    checkout.environ["ABACO_WITHOUT_TOKENS"] = "1"
    done = checkout.run("deploy")
    assert "it gets no access tokens" in done.error


def test_a_free_alias_is_given_and_one_that_stands_for_another_is_an_error(
    checkout: Checkout, ada: Client
) -> None:
    first = checkout.deploy(REACTOR_ALIAS="tacos")
    assert ada.result("GET", "/tacos")["id"] == first
    assert checkout.deploy(REACTOR_ALIAS="tacos") == first
    (checkout.folder / ".local" / "ACTOR_ID").unlink()
    done = checkout.run("deploy", REACTOR_ALIAS="tacos")
    second = (checkout.folder / ".local" / "ACTOR_ID").read_text().strip()
    assert done.code != 0
    assert done.error == (
        f"actor {second} is deployed, but tacos stands for {first}: `make alias` moves it, "
        "and with REACTOR_ALIAS= none is asked for"
    )
    assert checkout.run("alias", REACTOR_ALIAS="tacos").code == 0
    assert checkout.deploy(REACTOR_ALIAS="tacos") == second


def test_before_the_first_message_there_is_no_log_yet(checkout: Checkout) -> None:
    actor = checkout.deploy()
    done = checkout.run("logs")
    assert (done.code, f"actor {actor} has not begun any execution yet" in done.err) == (0, True)


def test_the_local_gateway_is_known_by_its_https_name(
    checkout: Checkout, gateway: RunningGateway
) -> None:
    checkout.sign_in(gateway, server="https://api.abaco.local")
    checkout.environ["HTTPS_PROXY"] = gateway.url
    done = checkout.run("deploy", CLIENT="api")
    assert (done.code, done.table["image"]) == (0, "cold, not pushed"), done.err


def test_with_tapis_it_is_pushed_created_and_updated(
    checkout: Checkout, gateway: RunningGateway, ada: Client
) -> None:
    as_tenant(checkout, gateway)
    checkout.install("tapis")
    checkout.install("docker")
    actor = checkout.deploy()
    assert checkout.deploy() == actor
    assert checkout.calls("docker")[1::2] == [["push", REGISTERED]] * 2
    create, update = checkout.calls("tapis")
    common = ["--repo", REGISTERED, "-d", "The actor to which pipelines report."]
    common += ["--unprivileged", "--user-uid", "--tokens", "--force", "-E", "secrets.json"]
    common += ["-f", "json", "--no-verify"]
    assert create == ["actors", "create", "-n", NAME, "--stateless", *common]
    assert update == ["actors", "update", *common, actor]
    shown = ada.result("GET", f"/{actor}")
    assert (shown["image"], shown["revision"]) == (REGISTERED, 2)
    assert checkout.run("nonces").code == 0, "the token that tapis has renewed is taken"


def test_the_bash_cli_goes_before_tapis_which_does_not_speak_plain_http(
    checkout: Checkout, gateway: RunningGateway
) -> None:
    checkout.install("tapis")
    assert checkout.run("deploy", DRY_RUN="1").table["with"] == "the API"
    refused = checkout.run("deploy", DRY_RUN="1", CLIENT="tapis")
    assert refused.error == f"tapis speaks https only, and {gateway.url} does not: leave CLIENT out"
    assert checkout.run("deploy", CLIENT="abaco").error.startswith("abaco is not installed")
    checkout.install("abaco")
    assert checkout.run("deploy", DRY_RUN="1").table["with"] == "abaco"
    assert checkout.run("deploy", DRY_RUN="1", CLIENT="api").table["with"] == "the API"


def test_what_a_cli_does_not_set_is_seen(checkout: Checkout, gateway: RunningGateway) -> None:
    as_tenant(checkout, gateway)
    checkout.install("tapis")
    done = checkout.run("deploy", NO_PUSH="1", REACTOR_PRIVILEGED="1")
    actor = (checkout.folder / ".ACTOR_ID").read_text().strip()
    assert done.error == (
        f"tapis has left actor {actor} otherwise: privileged is False, not True; "
        "deploy it with CLIENT=api"
    )


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("abaco", "`abaco create` printed no id of an actor, so the tenant refused"),
        ("tapis", "`tapis actors create` failed with 1: [Errno 400] Bad Request for"),
    ],
)
def test_what_a_cli_is_refused_is_said(
    checkout: Checkout, gateway: RunningGateway, program: str, says: str
) -> None:
    if program == "tapis":
        as_tenant(checkout, gateway)
    checkout.install(program)
    done = checkout.run("deploy", NO_PUSH="1", REACTOR_USE_UID="1")
    assert done.code != 0
    assert says in done.error
    assert not list(checkout.folder.rglob("*ACTOR_ID"))


def test_of_a_secret_of_some_lines_a_cli_does_not_get_the_last_one_told(
    checkout: Checkout, gateway: RunningGateway
) -> None:
    checkout.write_secrets({"KEY": "-----BEGIN\nhush\nxy"})
    program = checkout.programs / "abaco"
    program.write_text(f"#!{sys.executable}\nraise SystemExit('refused: -----BEGIN\\nhush\\nxy')\n")
    program.chmod(0o700)
    done = checkout.run("deploy", NO_PUSH="1", CLIENT="abaco")
    assert done.error == "`abaco create` failed with 1: refused: ***"


# What is missing or wrong


@pytest.mark.parametrize("name", ["ACTOR", "EXECUTION"])
@pytest.mark.parametrize("value", [".", ".."])
def test_a_name_that_would_be_another_path_is_refused(
    checkout: Checkout, gateway: RunningGateway, name: str, value: str
) -> None:
    checkout.deploy()
    done = checkout.run("logs", **{name: value})
    assert done.error == f"{value!r} is not the name of an actor, an alias or an execution"


def test_a_gateway_on_this_machine_is_not_asked_through_a_proxy(
    checkout: Checkout, gateway: RunningGateway
) -> None:
    nobody = "http://127.0.0.1:9"
    checkout.environ |= {"HTTP_PROXY": nobody, "http_proxy": nobody, "ALL_PROXY": nobody}
    checkout.deploy(CLIENT="api")


@pytest.mark.parametrize(
    ("target", "name"),
    [("logs", "ACTOR"), ("logs", "EXECUTION"), ("nonce", "LEVEL"), ("nonce", "MAX_USES"),
     ("deploy", "CLIENT"), ("up", "PORT")],
)  # fmt: skip
@pytest.mark.parametrize("in_environment", [False, True])
def test_nothing_in_a_variable_is_run(
    checkout: Checkout, gateway: RunningGateway, target: str, name: str, *, in_environment: bool
) -> None:
    program = checkout.programs / "intrude"
    program.write_text(f"#!/bin/sh\n: > {checkout.folder}/intruded\n")
    program.chmod(0o700)
    value = "x' `intrude` \"`intrude`\" '"
    if in_environment:
        checkout.environ[name] = value
    run = checkout.make if target == "up" else checkout.run
    done = run(target, **({} if in_environment else {name: value}))
    assert done.code != 0
    assert not (checkout.folder / "intruded").exists()


def test_nothing_is_created_where_the_push_fails(
    checkout: Checkout, gateway: RunningGateway, ada: Client
) -> None:
    as_tenant(checkout, gateway)
    checkout.install("docker")
    before = actors(ada)
    checkout.environ["DOCKER_FAILS"] = "push"
    assert checkout.run("deploy").error == "`docker push` failed with 3"
    checkout.environ["DOCKER_IMAGES"] = ""
    missing = checkout.run("deploy").error
    assert missing.startswith(f"docker has no image {REGISTERED}: ")
    assert missing.endswith("`make image` builds it, NO_PUSH=1 deploys what the registry has")
    assert actors(ada) == before


def test_nothing_is_created_where_its_id_cannot_be_kept(checkout: Checkout, ada: Client) -> None:
    before = actors(ada)
    place = checkout.folder / ".local"
    place.touch()
    message = ".local/ACTOR_ID, which names the actor, cannot be read: Not a directory"
    assert checkout.run("deploy").error == message
    place.unlink()
    place.symlink_to(checkout.folder / "gone" / "away")
    message = ".local/ACTOR_ID cannot be written: File exists. It is to name the actor"
    assert checkout.run("deploy").error == message
    assert actors(ada) == before


def test_who_is_not_signed_in_is_told_how(checkout: Checkout, gateway: RunningGateway) -> None:
    cache = Path(checkout.environ.pop("AGAVE_CACHE_DIR")) / "current"
    for target in ("deploy", "nonces"):
        error = checkout.run(target).error
        assert error.startswith(f"not signed in: {checkout.folder}/.agave/current names no server")
        assert 'export AGAVE_CACHE_DIR="$PWD/.local/abaco/agave"' in error
    checkout.environ["AGAVE_CACHE_DIR"] = str(cache.parent)
    cache.write_text(json.dumps({"baseurl": gateway.url, "access_token": "old"}))
    error = checkout.run("nonces", ACTOR="x").error
    assert error.startswith(f"{gateway.url} does not accept the token in {cache}: sign in again")
    cache.write_text(json.dumps({"baseurl": "http://127.0.0.1:9", "access_token": "old"}))
    error = checkout.run("nonces", ACTOR="x").error
    assert error == "http://127.0.0.1:9 does not answer (ConnectError)"


def test_an_actor_that_is_not_there_any_more_is_not_replaced_unasked(
    checkout: Checkout, gateway: RunningGateway, ada: Client
) -> None:
    assert checkout.run("nonce").error.startswith(f"no actor was deployed to {gateway.url}")
    actor = checkout.deploy()
    ada.result("DELETE", f"/{actor}")
    for target in ("deploy", "logs"):
        assert checkout.run(target).error == (
            f"{gateway.url} has no actor {actor}, which .local/ACTOR_ID names: remove that file to "
            "create another, or sign in where it is"
        )
    error = checkout.run("nonce", ACTOR="nobody").error
    assert error == f"{gateway.url} refuses: Actor with identifier 'nobody' not found"
