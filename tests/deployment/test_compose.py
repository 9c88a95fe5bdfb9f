"""deploy/compose.yml and deploy/up: valid, confined, and of one piece with the settings of this version."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from abaco import settings
from abaco.command_line import _parser
from tests.conftest import ROOT
from tests.deployment.test_image import instructions

FOLDER = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
ONCE = "migrate"
HAS_COMPOSE = (
    shutil.which("docker") is not None
    and subprocess.run(
        [shutil.which("docker") or "docker", "compose", "version"], capture_output=True, check=False
    ).returncode
    == 0
)


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def named(service: dict[str, Any], kind: str) -> list[str]:
    return [each if isinstance(each, str) else each["source"] for each in service.get(kind, ())]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy of deploy/ in which `deploy/up` was run twice, and what docker was asked for."""
    folder = tmp_path_factory.mktemp("fleet")
    shutil.copytree(
        FOLDER, folder / "deploy", ignore=shutil.ignore_patterns("secrets", "secrets.new")
    )
    docker = folder / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\necho "$(pwd) $*" >> {folder}/asked\n')
    docker.chmod(0o755)
    environ = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    secrets = []
    for options in ([], ["--scale", "worker=4"]):
        subprocess.run([folder / "deploy" / "up", *options], env=environ, cwd="/", check=True)
        secrets.append(
            {file.name: file.read_text() for file in (folder / "deploy" / "secrets").iterdir()}
        )
    assert secrets[0] == secrets[1]
    return folder / "deploy", (folder / "asked").read_text().splitlines()


# The file


def test_it_is_valid() -> None:
    # anchors are of YAML, and not of the library
    content = yaml.safe_dump({key: value for key, value in COMPOSE.items() if key[:2] != "x-"})
    assert set(compose_spec.PyCompose.from_yaml(content).service_names()) == set(SERVICES)


@pytest.mark.skipif(not HAS_COMPOSE, reason="docker compose is not found")
def test_docker_compose_takes_it(made: tuple[Path, list[str]]) -> None:
    command = [shutil.which("docker") or "docker", "compose", "--file", "compose.yml", "config"]
    subprocess.run([*command, "--quiet"], cwd=made[0], check=True)


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_confined_and_looked_after(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] not in ("0", "root", "")
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    if name == ONCE:
        assert service["restart"] == "on-failure"
    else:
        assert service["restart"] == "unless-stopped"
        assert "start_period" in service["healthcheck"]
    # a version, and none of what is made here
    assert service["image"] == "pipelinejobs-platform" or re.search(r":\d+", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_what_it_names_is_there() -> None:
    for kind in ("secrets", "configs"):
        used = {each for service in SERVICES.values() for each in named(service, kind)}
        assert used == set(COMPOSE[kind])
    volumes = {each.split(":")[0] for one in SERVICES.values() for each in one.get("volumes", ())}
    assert volumes == set(COMPOSE["volumes"])
    assert all((FOLDER / each["file"]).is_file() for each in COMPOSE["configs"].values())
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            needed = how["condition"]
            assert (other == ONCE) == (needed == "service_completed_successfully")
            assert other == ONCE or "healthcheck" in SERVICES[other]


# What runs


def test_each_secret_is_made_once_and_for_nobody_else(made: tuple[Path, list[str]]) -> None:
    folder, asked = made
    up = "compose --file compose.yml up --build --detach --wait"
    assert asked == [f"{folder} {up}", f"{folder} {up} --scale worker=4"]
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700
    needed = {each["file"] for each in COMPOSE["secrets"].values()} | {
        each for service in SERVICES.values() for each in service.get("env_file", ())
    }
    files = {f"secrets/{file.name}": file for file in (folder / "secrets").iterdir()}
    assert set(files) == needed
    # containers read them as users of their own
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.values()} == {0o444}
    texts = [file.read_text() for file in files.values()]
    # they are random: of so many digits, more kinds than these
    assert all(len(set(text)) > 5 for text in texts)
    listed = subprocess.run(
        [shutil.which("git") or "git", "check-ignore", *files],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(listed.stdout.split()) == set(files)


def test_the_settings_that_are_made_are_those_of_a_fleet(made: tuple[Path, list[str]]) -> None:
    folder, _ = made
    found = settings.load(folder / "secrets" / "abaco.yml")
    assert found.engine == settings.CELERY
    password = (folder / "secrets" / "postgres").read_text()
    assert found.database == f"postgresql+psycopg://abaco:{password}@postgres/abaco"
    rabbitmq = (folder / "secrets" / "rabbitmq.conf").read_text()
    assert found.broker == f"amqp://abaco:{rabbitmq.split()[-1]}@rabbitmq:5672//"
    assert found.public_url == f"http://gateway:{found.port}"
    assert importlib.import_module(str(found.setup)).prepare
    assert {"postgres", "rabbitmq", "gateway"} < set(SERVICES)
    environ = dict(
        line.split("=", 1) for line in (folder / "secrets" / "gateway.env").read_text().splitlines()
    )
    password = (folder / "secrets" / "mongodb-jobs").read_text()
    uri = f"mongodb://jobs:{password}@mongodb:27017/catalog?replicaSet=jobs"
    assert environ.pop("_REACTOR_MONGODB_AUTHN") == uri
    assert set(environ) == {"CATALOG_ADMIN_TOKEN_KEY", "CATALOG_ADMIN_TOKEN_SECRET"}


def test_what_the_services_run_and_ask_for_is_what_this_version_has(
    made: tuple[Path, list[str]],
) -> None:
    limits = settings.load(made[0] / "secrets" / "abaco.yml").limits
    port = settings.load(made[0] / "secrets" / "abaco.yml").port
    for name in ("gateway", "worker", ONCE):
        assert _parser().parse_args(SERVICES[name]["command"]).run
        assert SERVICES[name]["secrets"] == ["abaco.yml"]
    for name, path in (("gateway", "readyz"), ("worker", "metrics")):
        assert f"http://127.0.0.1:{port}/{path}" in SERVICES[name]["healthcheck"]["test"][-1]
    assert SERVICES["gateway"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    grace = seconds(SERVICES["worker"]["stop_grace_period"])
    assert grace > limits.execution_seconds + limits.stop_seconds
    timeout = re.search(
        r"^consumer_timeout = (\d+)$", (FOLDER / "rabbitmq.conf").read_text(), re.MULTILINE
    )
    assert timeout is not None
    assert int(timeout[1]) > limits.execution_seconds * 1000


# The image


def test_the_image_has_what_gateways_and_nodes_import_and_nothing_that_is_private() -> None:
    _, packages, last = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    copied = [
        source
        for stage in (packages, last)
        for name, rest in instructions(stage)
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().split()
    assert ignored[0] == "*"
    assert sorted(ignored[1:-1]) == sorted(f"!{source}" for source in copied)
    assert all((ROOT / source).exists() for source in copied)
    values = dict(instructions(last))
    assert int(values["USER"]) == int(SERVICES["gateway"]["user"]) > 0
    assert '"--config", "/run/secrets/abaco.yml"' in values["ENTRYPOINT"]


def test_its_packages_are_those_of_the_extras_and_not_the_embedded_database() -> None:
    pinned = set(
        re.findall(r"^([\w.-]+)==", (FOLDER / "requirements.txt").read_text(), re.MULTILINE)
    )
    pyproject = (ROOT / "pyproject.toml").read_text()
    for extra in ("local", "fleet"):
        block = re.search(rf"^{extra} = \[\n(.*?)^\]", pyproject, re.DOTALL | re.MULTILINE)
        assert block is not None
        # what is for an older Python is not in the image, which has a newer one
        wanted = {name.lower() for name in re.findall(r'"([\w.-]+)[^";]*"', block[1])}
        assert wanted - pinned == ({"secantusdb"} if extra == "local" else set())
