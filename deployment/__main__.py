"""The command line that `make` calls."""

from __future__ import annotations

import argparse
import signal
import sys

from abaco import streams
from deployment import commands, engine
from deployment.clients import CHOICES
from deployment.exceptions import DeploymentError

LEVELS = ("READ", "EXECUTE", "UPDATE")


@streams.guarded()
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except DeploymentError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deployment", description="Bring the actor to a tenant of the platform."
    )
    known = parser.add_subparsers(metavar="COMMAND", required=True)
    found = {}
    for run in (
        commands.image,
        commands.deploy,
        commands.nonce,
        commands.nonces,
        commands.alias,
        commands.logs,
    ):
        command = known.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        found[run.__name__] = command
    deploy = found["deploy"]
    deploy.add_argument("--dry-run", action="store_true", help="say what would be done")
    deploy.add_argument("--no-push", action="store_true", help="the registry has the image")
    deploy.add_argument("--client", choices=CHOICES, help="by default what is installed")
    for name in ("image", "deploy"):
        text = "what builds and pushes, by default the first that is installed"
        found[name].add_argument("--engine", choices=engine.CHOICES, help=text)
    for name in ("nonce", "nonces", "alias", "logs"):
        text = "an id or alias, by default what was deployed"
        found[name].add_argument("--actor", help=text)
    found["nonce"].add_argument("--level", choices=LEVELS, default="EXECUTE")
    found["nonce"].add_argument("--max-uses", type=int, default=-1, help="-1 for any number")
    found["logs"].add_argument("--execution", help="by default the one that began last")
    return parser


if __name__ == "__main__":
    streams.prepare()
    sys.exit(main())
