"""The container engine, which builds and pushes the image: docker, podman or buildah."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from deployment.exceptions import DeploymentError

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 200_000_000
BUILDAH = "buildah"
CHOICES = ("docker", "podman", BUILDAH)
_UNITS = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}


class Engine:
    """The program that is asked.

    Args:
        name: one of `CHOICES`; None for the first of them that is installed.

    Raises:
        DeploymentError: it is not installed.
    """

    def __init__(self, name: str | None = None) -> None:
        installed = [each for each in CHOICES if shutil.which(each)]
        if name is None and not installed:
            message = (
                "neither docker nor podman nor buildah is installed, which builds and pushes the "
                "image: see `make engines`"
            )
            raise DeploymentError(message)
        self.name = name or installed[0]
        program = shutil.which(self.name)
        if program is None:
            message = f"{self.name} is not installed, which was to build and push the image"
            raise DeploymentError(message)
        self._program = program

    def build(self, image: str, python: str) -> tuple[str, int]:
        """Build the image; return the base image with its digest, and the size in bytes.

        Args:
            image: the name that it gets.
            python: the base image; without a digest, the one of what the registry has now.

        Raises:
            DeploymentError: a step failed, or the image is too large.
        """
        if "@sha256:" not in python:
            self._run("pull", "--quiet", python)
            python = self._digest(python)
        # without an engine that runs as a service, steps of the build need no network of their own
        own = ("--isolation", "chroot", "--network", "host") if self.name == BUILDAH else ()
        self._run("build", *own, "--build-arg", f"PYTHON={python}", "--tag", image, str(ROOT))
        size = self._size(image)
        if size >= MAX_BYTES:
            message = (
                f"{image} has {size / 1e6:.0f} MB, and should have less than {MAX_BYTES / 1e6:.0f}"
            )
            raise DeploymentError(message)
        return python, size

    def push(self, image: str) -> None:
        """Push the image to its registry.

        Raises:
            DeploymentError: there is no such image, or it failed.
        """
        try:
            self._inspect(image, "{{.FromImageID}}" if self.name == BUILDAH else "{{.Id}}")
        except DeploymentError as error:
            message = f"{error}; `make image` builds it, NO_PUSH=1 deploys what the registry has"
            raise DeploymentError(message) from error
        self._run("push", image)

    def _digest(self, image: str) -> str:
        """Return the name of an image with the digest that its registry knows it by."""
        if self.name != BUILDAH:
            return self._inspect(image, "{{index .RepoDigests 0}}")
        folder, slash, name = image.rpartition("/")
        digest = self._inspect(image, "{{.FromImageDigest}}")
        return f"{folder}{slash}{name.partition(':')[0]}@{digest}"

    def _size(self, image: str) -> int:
        if self.name != BUILDAH:
            return int(self._inspect(image, "{{.Size}}"))
        ((size, unit),) = (
            each["size"].split() for each in json.loads(self._asked("images", "--json", image))
        )
        return round(float(size) * _UNITS[unit])

    def _inspect(self, image: str, form: str) -> str:
        what = ("inspect", "--type", "image") if self.name == BUILDAH else ("image", "inspect")
        return self._asked(*what, "--format", form, image)

    def _run(self, *arguments: str) -> None:
        """Let the engine do something, and tell of it on the terminal."""
        code = subprocess.run(
            [self._program, *arguments], stdin=subprocess.DEVNULL, check=False
        ).returncode
        if code:
            message = f"`{self.name} {arguments[0]}` failed with {code}"
            raise DeploymentError(message)

    def _asked(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            message = f"{self.name} has no image {arguments[-1]}: {said[-1]:.300}"
            raise DeploymentError(message)
        return done.stdout.strip()
