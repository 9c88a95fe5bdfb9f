"""The programs that create and update actors: bash `abaco` CLI, `tapis actors`, or the API itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Protocol

from deployment.exceptions import DeploymentError
from deployment.settings import SECRETS_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deployment.session import Session
    from deployment.settings import Reactor, Secrets
    from deployment.tenant import Tenant

_SECONDS = 300
_SHELL = re.compile(r"['`]|\$\(")
"""What the bash CLI, which builds a command line of what it sends, would let a shell run."""
_IDENTIFIER = re.compile(r"[A-Za-z0-9]{8,}")


class Client(Protocol):
    """What brings an actor to a tenant."""

    name: str

    def create(self, reactor: Reactor, image: str) -> str:
        """Register the actor; return its id."""

    def update(self, actor_id: str, reactor: Reactor, image: str) -> None:
        """Replace the actor's description, and let it fetch its image again."""


class Api:
    """The API, without any program."""

    name = "the API"

    def __init__(self, tenant: Tenant, secrets: Secrets) -> None:
        self._tenant = tenant
        self._secrets = secrets

    def create(self, reactor: Reactor, image: str) -> str:
        """See `Client`."""
        content = {"name": reactor.name, **self._description(reactor, image)}
        return str(self._tenant.request("POST", "", content)["id"])

    def update(self, actor_id: str, reactor: Reactor, image: str) -> None:
        """See `Client`."""
        self._tenant.request("PUT", f"/{actor_id}", self._description(reactor, image))

    def _description(self, reactor: Reactor, image: str) -> dict[str, Any]:
        return {
            "image": image,
            "description": reactor.description,
            "stateless": reactor.stateless,
            "privileged": reactor.privileged,
            "useContainerUid": reactor.use_uid,
            "token": True,
            "defaultEnvironment": dict(self._secrets),
            "force": True,
        }


class AbacoCli:
    """The bash CLI `abaco`, which cannot tell a description."""

    name = "abaco"

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def create(self, reactor: Reactor, image: str) -> str:
        """See `Client`."""
        stateful = [] if reactor.stateless else ["-S"]
        options = [*self._options(reactor), *stateful, "-n", reactor.name]
        words = self._run("create", *options, image).split()
        # it prints the name and the id
        return _identifier(words[-1] if words else "", "abaco create")

    def update(self, actor_id: str, reactor: Reactor, image: str) -> None:
        """See `Client`."""
        words = self._run("update", *self._options(reactor), actor_id, image).split()
        _identifier(words[-1] if words else "", "abaco update")

    def _options(self, reactor: Reactor) -> list[str]:
        # -A would take the actor its access tokens, without which it delivers nothing
        switches = {"-p": reactor.privileged, "-u": reactor.use_uid, "-f": True}
        return [*(switch for switch, on in switches.items() if on), "-E", str(SECRETS_FILE)]

    def _run(self, *arguments: str) -> str:
        return _run(["abaco", *arguments], self._secrets)


class TapisCli:
    """The CLI `tapis`."""

    name = "tapis"

    def __init__(self, secrets: Secrets, *, verify: bool) -> None:
        self._secrets = secrets
        self._verify = verify

    def create(self, reactor: Reactor, image: str) -> str:
        """See `Client`."""
        stateful = "--stateless" if reactor.stateless else "--stateful"
        return self._run("create", "-n", reactor.name, stateful, *self._options(reactor, image))

    def update(self, actor_id: str, reactor: Reactor, image: str) -> None:
        """See `Client`."""
        self._run("update", *self._options(reactor, image), actor_id)

    def _options(self, reactor: Reactor, image: str) -> list[str]:
        return [
            *("--repo", image),
            *("-d", reactor.description),
            "--privileged" if reactor.privileged else "--unprivileged",
            "--actor-uid" if reactor.use_uid else "--user-uid",
            "--tokens",
            "--force",
            *("-E", str(SECRETS_FILE)),
            *("-f", "json"),
            *([] if self._verify else ["--no-verify"]),
        ]

    def _run(self, command: str, *arguments: str) -> str:
        text = _run(["tapis", "actors", command, *arguments], self._secrets)
        try:
            found = json.loads(text)["id"]
        except (ValueError, KeyError, TypeError):
            found = ""
        return _identifier(str(found), f"tapis actors {command}")


CHOICES = (AbacoCli.name, TapisCli.name, "api")


def choose(tenant: Tenant, reactor: Reactor, secrets: Secrets, wanted: str | None = None) -> Client:
    """Return the program to deploy with: `abaco`, else `tapis`, where they are installed.

    A secret or a name that the bash CLI would run as a command does not go that way.

    Args:
        tenant: where to.
        reactor: what is deployed.
        secrets: the environment of the actor.
        wanted: one of `CHOICES`, if it shall be this one.

    Raises:
        DeploymentError: the wanted one is not installed, cannot reach the tenant, or would run what
            it is given.
    """
    session = tenant.session
    told = {**secrets, "REACTOR_NAME": reactor.name}
    run_by_shell = sorted(name for name, value in told.items() if _SHELL.search(value))
    if wanted == AbacoCli.name and run_by_shell:
        message = (
            f"abaco would run what a shell obeys in {', '.join(run_by_shell)} (' or ` or $(): "
            "deploy with CLIENT=api"
        )
        raise DeploymentError(message)
    if wanted in {AbacoCli.name, TapisCli.name} and shutil.which(str(wanted)) is None:
        message = f"{wanted} is not installed: install it, or leave CLIENT out"
        raise DeploymentError(message)
    if wanted == TapisCli.name and not _is_for_tapis(session):
        message = f"tapis speaks https only, and {session.server} does not: leave CLIENT out"
        raise DeploymentError(message)
    chosen = wanted is None and shutil.which(AbacoCli.name) and not run_by_shell
    if wanted == AbacoCli.name or chosen:
        return AbacoCli(secrets)
    found = wanted is None and shutil.which(TapisCli.name) and _is_for_tapis(session)
    if wanted == TapisCli.name or found:
        return TapisCli(secrets, verify=session.verify)
    return Api(tenant, secrets)


def _is_for_tapis(session: Session) -> bool:
    return session.server.startswith("https://")


def _run(command: Sequence[str], secrets: Secrets) -> str:
    """Run a CLI; return what it prints.

    Raises:
        DeploymentError: it failed, with its last line.
    """
    program = " ".join(command[:3] if command[0] == TapisCli.name else command[:2])
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"`{program}` did not end within {_SECONDS} seconds"
        raise DeploymentError(message) from error
    if done.returncode != 0:
        # before the last line is taken: a secret may go over some lines
        said = secrets.hide(done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        message = f"`{program}` failed with {done.returncode}: {said[-1]:.500}"
        raise DeploymentError(message)
    return done.stdout


def _identifier(text: str, program: str) -> str:
    if not _IDENTIFIER.fullmatch(text):
        message = f"`{program}` printed no id of an actor, so the tenant refused: run it by hand to see why"
        raise DeploymentError(message)
    return text
