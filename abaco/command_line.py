"""The command line: serve the gateway, run messages on a node, make and revoke tokens."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abaco import clientcache, clock, folders, roles, streams
from abaco import settings as configuration
from abaco.exceptions import AbacoError, SettingsError
from abaco.loading import INTERRUPTED, uncollected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from abaco.settings import Settings
    from abaco.store.database import Database

MAX_PORT = 65_535
_DAY = 86_400
_YOUNG_OBJECTS = 10_000
"""How many more than before there are when the collector looks for garbage among them: a request makes
hundreds, and leaves next to none, and the 700 that are the default hold all requests up at each look."""
_EXAMPLES = """\
examples:
  python -m abaco serve --port 8000
  python -m abaco --config fleet.yml copy abaco.yml
  python -m abaco token create --user ada --days 30
  python -m abaco token create --user ada --cache ada/current
  python -m abaco token list
  python -m abaco token revoke 3Zb8XQkKOvWwD
"""


@streams.guarded()
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # these tell of themselves what nobody asked for
    for name in ("alembic", "httpx", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    port = getattr(options, "port", None)
    try:
        if port is not None and not 0 <= port <= MAX_PORT:
            message = f"--port: {port} is not a port: give a number from 0 to {MAX_PORT}"
            raise SettingsError(message)
        settings = configuration.load(_configuration(options), overrides={"port": port})
        code: int = options.run(settings, options)
    except AbacoError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _configuration(options: argparse.Namespace) -> Path:
    """Return the file of the configuration, which may be absent unless it was named."""
    if options.config is not None and not options.config.exists():
        message = f"{options.config}: there is no such file"
        raise SettingsError(message)
    return options.config or Path(configuration.FILE_NAME)


def _serve(settings: Settings, _options: argparse.Namespace) -> int:
    with uncollected():
        from abaco.server import serve  # noqa: PLC0415 - the other commands do without

    gc.set_threshold(_YOUNG_OBJECTS)
    asyncio.run(serve(settings, lambda line: print(line, flush=True)))
    return 0


def _work(settings: Settings, options: argparse.Namespace) -> int:
    try:
        from abaco.workers.fleet.node import work  # noqa: PLC0415 - only a fleet has Celery
    except ImportError as error:
        message = f"{error.name} is not installed: pip install '.[fleet]'"
        raise SettingsError(message) from error
    work(settings, options.queues, options.concurrency, lambda line: print(line, flush=True))
    return 0


def _migrate(settings: Settings, _options: argparse.Namespace) -> int:
    with _open(settings):
        print("the platform's database is ready")
    return 0


def _copy(settings: Settings, options: argparse.Namespace) -> int:
    from abaco.store.copying import copy  # noqa: PLC0415 - the other commands do without

    if not options.former.exists():
        message = f"{options.former}: there is no such file"
        raise SettingsError(message)
    former = configuration.load(options.former)
    if former.database == settings.database:
        message = f"{options.former} and {settings.file} name the same database"
        raise SettingsError(message)
    # its gateway holds the folder as long as it runs
    with folders.own_folder(former), _open(former) as source, _open(settings) as target:
        for name, count in copy(source, target).items():
            print(f"{name}: {count}")
    return 0


def _create_token(settings: Settings, options: argparse.Namespace) -> int:
    with uncollected():
        from abaco.store import tokens  # noqa: PLC0415 - `--help` does without

    _check_folder(settings, options)
    tenant = (options.tenant or settings.default_tenant).upper()
    if tenant not in settings.tenants:
        message = f"tenant {tenant} is not in {settings.file}: it has {', '.join(settings.tenants)}"
        raise SettingsError(message)
    server = options.server or settings.public_url
    if options.cache is not None and not server:
        # its --port is not in the configuration
        server = folders.running_address(settings)
    server = server or f"http://{settings.host}:{settings.port}"
    with _open(settings) as database, database.write() as tx:
        grant = tokens.create(
            tx,
            tenant,
            options.user,
            options.role or [roles.EVERYONE],
            lifetime=max(1, round(options.days * _DAY)),
            label=options.label,
        )
        # a token that nobody gets is not made
        if options.cache is not None:
            clientcache.write(options.cache, grant, tenant=tenant, user=options.user, server=server)
        shown = grant.access if options.cache is None else f"token {grant.id} is in {options.cache}"
        print(shown, flush=True)
    return 0


def _check_folder(settings: Settings, options: argparse.Namespace) -> None:
    """Refuse to make a database where nobody has a gateway, for a token that none would know."""
    if options.config is None and not settings.file.exists() and not settings.data.exists():
        message = (
            f"{settings.file.parent} has no {configuration.FILE_NAME}, and no gateway has run there: "
            "go to the folder of the gateway, or name its file with --config"
        )
        raise SettingsError(message)


def _list_tokens(settings: Settings, options: argparse.Namespace) -> int:
    with uncollected():
        from abaco.store import tokens  # noqa: PLC0415 - `--help` does without

    _check_folder(settings, options)
    with _open(settings) as database, database.read() as tx:
        found = tokens.all_tokens(tx)
    for record in found:
        state = "until" if record["expires"] > clock.now() else "expired"
        columns: list[Any] = [record[name] for name in ("id", "tenant", "user")]
        columns += [",".join(record["roles"]), f"{state} {clock.iso(record['expires'])}"]
        print("\t".join([*columns, record["label"]]))
    return 0


def _revoke_token(settings: Settings, options: argparse.Namespace) -> int:
    with uncollected():
        from abaco.store import tokens  # noqa: PLC0415 - `--help` does without

    _check_folder(settings, options)
    with _open(settings) as database, database.write() as tx:
        found = tokens.revoke(tx, options.id)
    if not found:
        print(
            f"ERROR there is no token {options.id}: see `python -m abaco token list`",
            file=sys.stderr,
        )
        return 1
    print("revoked")
    return 0


@contextlib.contextmanager
def _open(settings: Settings) -> Iterator[Database]:
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - `--help` does without

    from abaco.store.database import Database, explain  # noqa: PLC0415 - `--help` does without

    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(folders.unusable(settings, error)) from error
    os.umask(0o077)
    database = Database(settings.database)
    try:
        yield database
    except SQLAlchemyError as error:
        raise SettingsError(explain(settings.database, error)) from error
    finally:
        database.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m abaco",
        description="A local Abaco: actors behind HTTP, on this machine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        type=_file,
        help=f"the configuration file, by default {configuration.FILE_NAME}",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    serve = commands.add_parser("serve", help="serve until Ctrl-C")
    serve.add_argument("--port", type=int, help="in place of the configured one; 0 for a free one")
    # named here as well, it must not undo what stands before the command
    serve.add_argument(
        "--config", type=_file, default=argparse.SUPPRESS, help="the same as before the command"
    )
    serve.set_defaults(run=_serve)
    worker = commands.add_parser("worker", help="run messages on this machine until Ctrl-C")
    worker.add_argument(
        "--queues",
        type=_queues,
        default=configuration.QUEUES[:1],
        help=f"of the actors to run, commas between: {', '.join(configuration.QUEUES)}; by default the first",
    )
    worker.add_argument(
        "--concurrency",
        type=_count,
        default=os.cpu_count() or 1,
        help="how many messages at a time; by default one for each processor",
    )
    worker.add_argument("--port", type=int, help="of /metrics, in place of the configured one")
    worker.set_defaults(run=_work)
    commands.add_parser(
        "migrate", help="make or change the tables of the database as this version needs them"
    ).set_defaults(run=_migrate)
    copy = commands.add_parser("copy", help="copy the database of a gateway that was stopped")
    copy.add_argument("former", type=_file, help="the configuration file of that gateway")
    copy.set_defaults(run=_copy)
    token = commands.add_parser("token", help="make, list and revoke access tokens")
    verbs = token.add_subparsers(required=True, metavar="verb")
    create = verbs.add_parser("create", help="make a token and print it, this once")
    create.add_argument("--user", required=True, type=_user, help="whose token it is")
    create.add_argument("--tenant", help="by default the first of the configuration")
    create.add_argument(
        "--role",
        action="append",
        choices=roles.ROLES,
        metavar="ROLE",
        help=f"{roles.EVERYONE} by default; {roles.ADMIN} may do all; may be repeated",
    )
    create.add_argument("--days", type=_days, default=30.0, help="until it expires; 30 by default")
    create.add_argument("--label", default="", help="what it is for")
    create.add_argument("--cache", type=_file, help="write a file for the clients of Abaco instead")
    create.add_argument("--server", help="the base URL that is written into that file")
    create.set_defaults(run=_create_token)
    verbs.add_parser("list", help="list tokens, without what is secret").set_defaults(
        run=_list_tokens
    )
    revoke = verbs.add_parser("revoke", help="end a token")
    revoke.add_argument("id", help="as `python -m abaco token list` shows it")
    revoke.set_defaults(run=_revoke_token)
    return parser


_MAX_DAYS = 3650
_MAX_USER_LENGTH = 255


def _file(text: str) -> Path:
    if not text:
        message = "it names no file: give the name of one"
        raise argparse.ArgumentTypeError(message)
    return Path(text)


def _user(text: str) -> str:
    if not 0 < len(text) <= _MAX_USER_LENGTH or not text.isprintable():
        message = f"a user's name has 1 to {_MAX_USER_LENGTH} characters that can be printed"
        raise argparse.ArgumentTypeError(message)
    return text


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        message = f"{text} is not a number from 1 on"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _queues(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in configuration.QUEUES:
            known = " and ".join(configuration.QUEUES)
            message = f"{name!r} is not the queue of any actor: there are {known}"
            raise argparse.ArgumentTypeError(message)
    return names


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= _MAX_DAYS:
        message = f"{text} is not a number of days: give more than 0, at most {_MAX_DAYS}"
        raise argparse.ArgumentTypeError(message)
    return days
