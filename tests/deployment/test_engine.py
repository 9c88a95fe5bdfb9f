"""What the container engine is asked, where a stand-in notes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.deployment.checkout import Checkout

IMAGE = "pipelinejobs-manager:0.1.0"
BASE = "python:3.12-slim"
DIGEST = f"python@sha256:{'0' * 64}"
SIZE = ["image", "inspect", "--format", "{{.Size}}", IMAGE]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    checkout = Checkout(tmp_path)
    checkout.install("docker")
    checkout.environ["DOCKER_IMAGES"] = f"{IMAGE} {BASE}"
    return checkout


def build(python: str) -> list[str]:
    return ["build", "--build-arg", f"PYTHON={python}", "--tag", IMAGE, str(ROOT)]


def test_the_base_image_gets_the_digest_that_the_registry_has_now(checkout: Checkout) -> None:
    done = checkout.make("image")
    assert done.code == 0, done.err
    assert checkout.calls("docker") == [
        ["pull", "--quiet", BASE],
        ["image", "inspect", "--format", "{{index .RepoDigests 0}}", BASE],
        build(DIGEST),
        SIZE,
    ]
    assert f"{IMAGE} is built, 180 MB.\n" in done.out
    assert f"keep in reactor.rc: DOCKER_PYTHON={DIGEST}\n" in done.out


def test_a_base_image_with_a_digest_is_taken_as_it_is(checkout: Checkout) -> None:
    done = checkout.run("image", DOCKER_PYTHON=DIGEST)
    assert done.code == 0, done.err
    assert checkout.calls("docker") == [build(DIGEST), SIZE]
    assert "keep" not in done.out


def test_an_image_of_200_mb_is_too_large(checkout: Checkout) -> None:
    checkout.environ["DOCKER_SIZE"] = "200000000"
    done = checkout.run("image")
    assert done.code != 0
    assert done.error == f"{IMAGE} has 200 MB, and should have less than 200"


@pytest.mark.parametrize("step", ["pull", "build"])
def test_a_step_that_fails_is_named(checkout: Checkout, step: str) -> None:
    checkout.environ["DOCKER_FAILS"] = step
    assert checkout.run("image").error == f"`docker {step}` failed with 3"


def test_without_an_engine_there_is_no_image(tmp_path: Path) -> None:
    error = Checkout(tmp_path).run("image").error
    assert error.startswith("neither docker nor podman nor buildah is installed")


def test_an_engine_that_is_named_is_taken_or_missed(checkout: Checkout) -> None:
    error = checkout.run("image", ENGINE="podman").error
    assert error.startswith("podman is not installed")
    assert checkout.calls("docker") == []
