"""The container engine: docker, which builds and pushes the image."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from deployment.exceptions import DeploymentError

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 200_000_000


def build(image: str, python: str) -> tuple[str, int]:
    """Build the image; return the base image with its digest, and the size in bytes.

    Args:
        image: the name that it gets.
        python: the base image; without a digest, the one of what the registry has now.

    Raises:
        DeploymentError: there is no engine, a step failed, or the image is too large.
    """
    if "@sha256:" not in python:
        _docker("pull", "--quiet", python)
        python = _asked("image", "inspect", "--format", "{{index .RepoDigests 0}}", python)
    _docker("build", "--build-arg", f"PYTHON={python}", "--tag", image, str(ROOT))
    size = int(_asked("image", "inspect", "--format", "{{.Size}}", image))
    if size >= MAX_BYTES:
        message = (
            f"{image} has {size / 1e6:.0f} MB, and should have less than {MAX_BYTES / 1e6:.0f}"
        )
        raise DeploymentError(message)
    return python, size


def push(image: str) -> None:
    """Push the image to its registry.

    Raises:
        DeploymentError: there is no engine, or it failed.
    """
    try:
        _asked("image", "inspect", "--format", "{{.Id}}", image)
    except DeploymentError as error:
        message = f"{error}; `make image` builds it, NO_PUSH=1 deploys what the registry has"
        raise DeploymentError(message) from error
    _docker("push", image)


def _docker(*arguments: str) -> None:
    """Let the engine do something, and tell of it on the terminal."""
    code = subprocess.run(
        [_program(), *arguments], stdin=subprocess.DEVNULL, check=False
    ).returncode
    if code:
        message = f"`docker {arguments[0]}` failed with {code}"
        raise DeploymentError(message)


def _asked(*arguments: str) -> str:
    done = subprocess.run(
        [_program(), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        message = f"docker has no image {arguments[-1]}: {said[-1]:.300}"
        raise DeploymentError(message)
    return done.stdout.strip()


def _program() -> str:
    found = shutil.which("docker")
    if found is None:
        message = "docker is not installed: it builds and pushes the image"
        raise DeploymentError(message)
    return found
