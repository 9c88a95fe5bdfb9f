"""A gateway as people run it: a process of its own, on a free port, with a folder of its own."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from abaco.certificates import FOLDER_NAME, CertificateAuthority
from abaco.command_line import main
from abaco.settings import load
from abaco.store import tokens
from abaco.store.database import Database
from tests.conftest import ROOT

ACTORS = Path(__file__).parent / "actors"
EVERYONE = "Internal/everyone"
ADMIN = "Internal/abaco-admin"
SECONDS = 30.0
PROBE: dict[str, Any] = {
    "cold": {
        "folder": str(ACTORS),
        "command": ["python3", "probe.py"],
        "variables": ["SPICE", "SECRET", "TACOS"],
    },
    "warm": {
        "folder": str(ACTORS),
        "command": ["python3", "probe.py"],
        "mode": "warm",
        "handler": "probe:main",
    },
    "teller": {
        "folder": str(ACTORS),
        "command": ["python3", "-c", "import probe; probe.tell()"],
        "mode": "warm",
        "handler": "probe:tell",
    },
    "cold teller": {
        "folder": str(ACTORS),
        "command": ["python3", "-c", "import probe; probe.tell()"],
    },
}
"""The images `cold` and `warm`, both of the actor `probe`, and two that tell their environment."""
MODES = ("cold", "warm")
NOWHERE = "nowhere"
"""An image that is not known: of an actor that is never executed."""


def opened(images: dict[str, Any]) -> dict[str, Any]:
    """Return images of which everybody may register actors, but for those that say who may."""
    everybody = {"register": {"roles": [EVERYONE]}}
    return {name: {**everybody, **image} for name, image in images.items()}


@functools.cache
def _authority() -> tempfile.TemporaryDirectory[str]:
    """Return a certificate authority that all gateways here have: each would take a while to make its own."""
    folder = tempfile.TemporaryDirectory()
    CertificateAuthority(Path(folder.name))
    return folder


class RunningGateway:
    """A gateway that is started, stopped, killed and started again.

    Args:
        folder: where its configuration, data and log are.
        images: what `images.yml` says; everybody may register actors of those that do not say who.
        settings: what `abaco.yml` says.
        environ: of the process, besides PATH.
        within: what its command begins with, if it does not run here (see `tests.network`).
    """

    def __init__(
        self,
        folder: Path,
        images: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        environ: dict[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.configuration = folder / "abaco.yml"
        # receivers of events are on this machine
        content = {"data": "data", "private_webhooks": True, **(settings or {})}
        # the first tenant is the default one
        self.configuration.write_text(yaml.safe_dump(content, sort_keys=False))
        self._images: dict[str, Any] = {}
        self.know(PROBE if images is None else images)
        self.log = folder / "gateway.log"
        self.settings = load(self.configuration)
        self._began = 0
        self.port = 0
        self._environ = {**basis(), **(environ or {})}
        self._within = within
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{self.settings.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def know(self, images: dict[str, Any]) -> None:
        """Let it know more images, from the next request on."""
        images = opened(images)
        assert all(self._images.get(name, images[name]) == images[name] for name in images)
        self._images |= images
        file = self.folder / "images.new"
        file.write_text(yaml.safe_dump(self._images))
        file.replace(self.folder / "images.yml")

    def start(self) -> RunningGateway:
        """Start it, at the port that it had before; return when it says that it serves."""
        authority = self.settings.data / FOLDER_NAME
        if not authority.exists():
            shutil.copytree(_authority().name, authority)
        self._began = self.log.stat().st_size if self.log.exists() else 0
        command = [sys.executable, "-m", "abaco", "--config", str(self.configuration), "serve"]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [*self._within, *command, "--port", str(self.port)],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )
        start = f"The gateway is at http://{self.settings.host}:"

        def written() -> list[str]:
            assert self._process is not None
            assert self._process.poll() is None, "\n".join(self.lines)
            return [line for line in self.lines if line.startswith(start)]

        self.port = int(eventually(written)[0].removeprefix(start))
        return self

    @property
    def lines(self) -> list[str]:
        """What it has printed since it was started; there may be more to come."""
        with self.log.open() as log:
            log.seek(self._began)
            return log.read().splitlines()

    def __enter__(self) -> RunningGateway:  # noqa: PYI034 - Self is newer than Python 3.10
        """Start it."""
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        """Stop it; it ends in order, if it has not ended before."""
        assert self._process is not None
        assert self._process.poll() is not None or self.stop() == 0, self.log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal; return its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(SECONDS)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the gateway that ends by itself."""
        return subprocess.run(
            [sys.executable, "-m", "abaco", "--config", str(self.configuration), *arguments],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def call(self, *arguments: str) -> str:
        """Run a command that succeeds in this process, which has loaded it; return what it prints."""
        code, printed, complained = self._run(arguments)
        assert (code, complained) == (0, "")
        return printed

    def complaint(self, *arguments: str) -> str:
        """Run a command that fails in this process; return what it complains of."""
        code, printed, complained = self._run(arguments)
        assert (code, printed) == (1, "")
        return complained

    def _run(self, arguments: Sequence[str]) -> tuple[int, str, str]:
        mask, printed, complained = os.umask(0o022), io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
                code = main(["--config", str(self.configuration), *arguments])
        finally:
            os.umask(mask)
        return code, printed.getvalue(), complained.getvalue()

    def token(
        self, user: str = "ada", roles: Sequence[str] = (EVERYONE,), tenant: str = "SD2E"
    ) -> str:
        """Make an access token."""
        return self.grant(user, roles, tenant).access

    def grant(
        self,
        user: str = "ada",
        roles: Sequence[str] = (EVERYONE,),
        tenant: str = "SD2E",
        lifetime: int = 3600,
    ) -> tokens.Grant:
        """Make an access token, with what it is renewed by."""
        database = Database(self.settings.database)
        try:
            with database.write() as tx:
                return tokens.create(tx, tenant, user, list(roles), lifetime=lifetime)
        finally:
            database.close()

    def client(
        self, user: str = "ada", roles: Sequence[str] = (EVERYONE,), tenant: str = "SD2E"
    ) -> Client:
        """Return a client with a token of a user."""
        return Client(self.url, self.token(user, roles, tenant))

    def admin(self) -> Client:
        """Return a client with the token of an administrator."""
        return self.client("root", (EVERYONE, ADMIN))


def furnish(admin: Client, actor: str) -> dict[str, str]:
    """Make what the parts of paths name; return one of each, and values that arguments may have."""
    admin.result("POST", "/aliases", json={"alias": "taco", "actorId": actor})
    admin.result("POST", "/configs", json={"name": "salsa", "value": "1", "actors": actor})
    return {
        "actor": actor,
        "alias": "taco",
        "config": "salsa",
        "execution": admin.submit(actor, {}),
        "nonce": admin.result("POST", f"/{actor}/nonces")["id"],
        "user": "me",
        "kind": "executions",
        "actorId": actor,
        "actors": actor,
        "image": NOWHERE,
        "level": "READ",
    }


class Client(httpx.Client):
    """A client of the API; without a token, one that nobody knows."""

    def __init__(self, url: str, token: str | None = None, **options: Any) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        super().__init__(base_url=f"{url}/actors/v2", headers=headers, timeout=SECONDS, **options)

    def result(self, method: str, path: str, **options: Any) -> Any:
        """Send a request that succeeds; return what is in the envelope."""
        reply = self.request(method, path, **options)
        assert reply.status_code == 200, reply.text
        assert reply.json()["status"] == "success"
        return reply.json()["result"]

    def refusal(self, method: str, path: str, status: int = 400, **options: Any) -> str:
        """Send a request that is refused; return the message in the envelope."""
        reply = self.request(method, path, **options)
        assert reply.status_code == status, reply.text
        content = reply.json()
        assert (content["status"], content["result"]) == ("error", None)
        return str(content["message"])

    def actor(self, image: str = "cold", **description: Any) -> str:
        """Register an actor; return its id when it is ready."""
        actor_id = self.result("POST", "", json={"image": image, **description})["id"]
        if image == NOWHERE:
            return str(actor_id)
        eventually(is_in_status(self, actor_id, "READY"))
        return str(actor_id)

    def submit(self, actor: str, message: Any, **options: Any) -> str:
        """Send a message as JSON; return the execution's id."""
        reply = self.result("POST", f"/{actor}/messages", json=message, **options)
        return str(reply["executionId"])

    def ended(self, actor: str, execution_id: str) -> dict[str, Any]:
        """Return an execution when it has ended."""

        def find() -> dict[str, Any] | None:
            execution: dict[str, Any] = self.result("GET", f"/{actor}/executions/{execution_id}")
            return execution if execution["status"] in ("COMPLETE", "ERROR") else None

        found: dict[str, Any] = eventually(find)
        return found

    def run(self, actor: str, message: Any, **options: Any) -> dict[str, Any]:
        """Send a message; return its execution when that has ended."""
        return self.ended(actor, self.submit(actor, message, **options))

    def ask(self, actor: str, message: Any, **parameters: str) -> httpx.Response:
        """Send a message and wait for its execution."""
        parameters = {"_abaco_synchronous": "true", **parameters}
        return self.post(f"/{actor}/messages", json=message, params=parameters)

    def result_of(self, actor: str, execution_id: str) -> bytes:
        """Take the oldest result of an execution."""
        reply = self.get(f"/{actor}/executions/{execution_id}/results")
        assert (reply.status_code, reply.headers["content-type"]) == (
            200,
            "application/octet-stream",
        )
        return reply.content

    def told(self, teller: str, **request: Any) -> tuple[Any, dict[str, str]]:
        """Send a message to an actor that tells; return the reply's `msg` and the environment."""
        reply = self.result("POST", f"/{teller}/messages", **request)
        self.ended(teller, reply["executionId"])
        environment: dict[str, str] = json.loads(self.result_of(teller, reply["executionId"]))
        return reply["msg"], environment

    def logs(self, actor: str, execution_id: str) -> str:
        """Return the log of an execution."""
        return str(self.result("GET", f"/{actor}/executions/{execution_id}/logs")["logs"])


def is_in_status(client: Client, actor: str, status: str) -> Callable[[], bool]:
    """Return what tells whether an actor is in a status."""
    return lambda: bool(client.result("GET", f"/{actor}")["status"] == status)


def basis() -> dict[str, str]:
    """Return the environment of a program of this repository, and nothing else of the tests' own."""
    temporary = tempfile.gettempdir()
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": temporary}


def eventually(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Return what a condition returns as soon as it holds."""
    deadline, pause = time.monotonic() + seconds, 0.02
    while not (value := condition()):
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(pause)
        # who asks often takes the time of those who work
        pause = min(1.5 * pause, 0.2)
    return value


def gone(pid: int) -> bool:
    """Tell whether a process has ended."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def shell(script: str, **variables: str) -> str:
    """Run lines of a shell, which find the variables in their environment; return what they print."""
    done = subprocess.run(
        [shutil.which("bash") or "bash", "-euc", script],
        env={"PATH": os.environ["PATH"], **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
