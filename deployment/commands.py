"""What `make image`, `deploy`, `nonce`, `nonces`, `alias` and `logs` do."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from deployment import clients, session
from deployment.clients import Api, Client
from deployment.engine import Engine
from deployment.exceptions import DeploymentError, Missing
from deployment.settings import Reactor, Secrets, read_reactor, read_secrets
from deployment.tenant import Tenant

if TYPE_CHECKING:
    import argparse

    from deployment.session import Session


def image(options: argparse.Namespace) -> None:
    """Build the image."""
    reactor = _reactor()
    python, size = Engine(options.engine).build(reactor.image, reactor.python)
    print(f"{reactor.image} is built, {size / 1e6:.0f} MB.")
    if python != reactor.python:
        print(f"To build on the same again, keep in reactor.rc: DOCKER_PYTHON={python}")


def deploy(options: argparse.Namespace) -> None:
    """Push the image; create or update the actor; wait until it is ready."""
    reactor, secrets, where = _reactor(), read_secrets(), session.find(os.environ)
    tenant = Tenant(where, secrets.hide)
    client = clients.choose(tenant, reactor, secrets, options.client)
    actor_id = _remembered(where)
    if actor_id is not None:
        _check_remembered(tenant, actor_id)
    pushed = not (where.is_local or options.no_push)
    name = reactor.image_name if where.is_local else reactor.image
    _print_table(
        ("tenant", f"{where.server}, as {where.user}"),
        ("image", f"{name}, {'pushed first' if pushed else 'not pushed'}"),
        ("actor", f"{reactor.name}, {f'update of {actor_id}' if actor_id else 'a new one'}"),
        ("secrets", ", ".join(secrets) or "none"),
        ("with", client.name),
    )
    if options.dry_run:
        print("Nothing was done: this was a dry run.")
        return
    if actor_id is None:
        _remember(where, "")
    if pushed:
        Engine(options.engine).push(reactor.image)
    if actor_id is None:
        actor_id = client.create(reactor, name)
        _remember(where, actor_id)
    else:
        client.update(actor_id, reactor, name)
    actor = tenant.wait_until_ready(actor_id)
    _check(actor, reactor, name, secrets, client)
    if reactor.workers > 1:
        tenant.set_workers(actor_id, reactor.workers)
    if reactor.alias:
        _check_alias(tenant, reactor.alias, actor_id)
    print(f"{actor_id} is {actor['status']}.")


def _check(
    actor: dict[str, Any], reactor: Reactor, name: str, secrets: Secrets, client: Client
) -> None:
    """Look whether the actor is what it was to be: the CLIs pass over what they do not know."""
    wanted = {
        "image": name,
        "stateless": reactor.stateless,
        "privileged": reactor.privileged,
        "useContainerUid": reactor.use_uid,
    }
    different = [
        f"{key} is {actor.get(key)}, not {value}"
        for key, value in wanted.items()
        if actor.get(key) != value
    ]
    if str(actor.get("token")).lower() != "true":
        different.append("it gets no access tokens, without which it delivers nothing")
    if set(actor["defaultEnvironment"]) != set(secrets):
        different.append("it has other variables than those of secrets.json")
    if different:
        remedy = "" if isinstance(client, Api) else "; deploy it with CLIENT=api"
        message = (
            f"{client.name} has left actor {actor['id']} otherwise: {', '.join(different)}{remedy}"
        )
        raise DeploymentError(message)


def _check_alias(tenant: Tenant, alias: str, actor_id: str) -> None:
    """Let an alias that nobody has stand for the actor; refuse one that stands for another."""
    pointed = tenant.pointed(alias)
    if pointed is None:
        tenant.point(alias, actor_id)
        pointed = tenant.pointed(alias)
    if pointed != actor_id:
        message = (
            f"actor {actor_id} is deployed, but {alias} stands for {pointed}: `make alias` moves it, "
            "and with REACTOR_ALIAS= none is asked for"
        )
        raise DeploymentError(message)


def nonce(options: argparse.Namespace) -> None:
    """Make a nonce; print it, and nothing else on standard output."""
    tenant, actor_id = _target(options)
    made = tenant.add_nonce(actor_id, options.level, options.max_uses)
    print(made["id"])
    uses = "any number of times" if options.max_uses < 0 else f"{options.max_uses} times"
    note = f"Who has it has the level {options.level} of actor {actor_id}, {uses}."
    print(note, file=sys.stderr)


def nonces(options: argparse.Namespace) -> None:
    """List the nonces."""
    tenant, actor_id = _target(options)
    rows = [
        (each["id"], each["level"], _uses(each), str(each["lastUseTime"]))
        for each in tenant.nonces(actor_id)
    ]
    _print_table(("NONCE", "LEVEL", "USES LEFT", "LAST USE"), *rows)


def alias(options: argparse.Namespace) -> None:
    """Let the alias stand for the actor."""
    reactor = _reactor()
    if not reactor.alias:
        message = "there is no alias: set REACTOR_ALIAS in reactor.rc"
        raise DeploymentError(message)
    tenant, actor_id = _target(options)
    before = tenant.point(reactor.alias, actor_id)
    if before == actor_id:
        print(f"{reactor.alias} stands for {actor_id} already.")
    else:
        print(
            f"{reactor.alias} stands for {actor_id}{f', no longer for {before}' if before else ''}."
        )


def logs(options: argparse.Namespace) -> None:
    """Print the log of an execution."""
    tenant, actor_id = _target(options)
    try:
        execution_id = options.execution or tenant.latest_execution(actor_id)
    except Missing as nothing:
        print(nothing, file=sys.stderr)
        return
    found = tenant.execution(actor_id, execution_id)
    ended = f", exit code {found['exitCode']}" if "exitCode" in found else ""
    print(f"execution {execution_id}: {found['status']}{ended}", file=sys.stderr)
    sys.stdout.write(found["logs"])


def _reactor() -> Reactor:
    reactor = read_reactor(os.environ)
    for key in reactor.unused:
        print(f"reactor.rc: {key} is not used", file=sys.stderr)
    return reactor


def _target(options: argparse.Namespace) -> tuple[Tenant, str]:
    """Return the tenant, and the id of the actor that is named, or was deployed."""
    where = session.find(os.environ)
    tenant = Tenant(where)
    if options.actor:
        return tenant, str(tenant.actor(options.actor)["id"])
    actor_id = _remembered(where)
    if actor_id is None:
        message = (
            f"no actor was deployed to {where.server} from here: `make deploy`, or name it in ACTOR"
        )
        raise DeploymentError(message)
    _check_remembered(tenant, actor_id)
    return tenant, actor_id


def _remembered(where: Session) -> str | None:
    try:
        return where.actor_file.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not valid UTF-8"
        message = f"{where.actor_file}, which names the actor, cannot be read: {reason}"
        raise DeploymentError(message) from error


def _remember(where: Session, actor_id: str) -> None:
    """Keep the id of an actor; with an empty one, show that this will be possible, and leave no file.

    Raises:
        DeploymentError: it is not.
    """
    try:
        where.actor_file.parent.mkdir(mode=0o700, exist_ok=True)
        where.actor_file.write_text(f"{actor_id}\n", encoding="utf-8")
        if not actor_id:
            where.actor_file.unlink()
    except OSError as error:
        message = f"{where.actor_file} cannot be written: {error.strerror}. It is to name the actor"
        if actor_id:
            message += f" {actor_id}, which has been created: write that into it"
        raise DeploymentError(message) from error


def _check_remembered(tenant: Tenant, actor_id: str) -> None:
    try:
        tenant.actor(actor_id)
    except Missing as error:
        where = tenant.session
        message = (
            f"{where.server} has no actor {actor_id}, which {where.actor_file} names: remove that file "
            "to create another, or sign in where it is"
        )
        raise DeploymentError(message) from error


def _uses(nonce: dict[str, Any]) -> str:
    return "any" if nonce["remainingUses"] < 0 else str(nonce["remainingUses"])


def _print_table(*rows: tuple[str, ...]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
