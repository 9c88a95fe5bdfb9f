"""The platform around the gateway: one address for actors and jobs, as a tenant has it.

It knows what launching a job takes: `POST /jobs/v2` from whoever has a token that the gateway knows,
and the history of a job. When a test lets a job run, its app writes its outputs to the storage
system, and what the job's notifications ask for is posted to their URLs, as Agave does it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import httpx

from tests.abaco.running import SECONDS
from tests.loopback import Loopback, Reply, Request, envelope

SYSTEM = "data-sd2e-community"
App = Callable[[Path, dict[str, Any]], None]
"""Writes its outputs into a folder, told the job; what it raises is why the job has failed."""

_HISTORY = re.compile(r"/jobs/v2/([^/]+)/history")
VERSION = "2.2.14-a6f0eb2"
"""By it the client knows which fields of a job are dates."""
_MOMENT = "2026-11-23T10:00:00.000-06:00"


@final
class Platform(Loopback):
    """The server, from `with` to the end of the block.

    Args:
        storage: the folder in which the files of the storage system are.
        apps: what can be launched, by their ids.

    Attributes:
        gateway: the address of the gateway, to which it passes on what is about actors.
        jobs: what has been submitted, by the ids of the jobs.
        tokens: the access tokens that it was shown.
        posted: the answers of the gateway to notifications.
    """

    def __init__(self, storage: Path, apps: Mapping[str, App]) -> None:
        super().__init__()
        self.gateway = ""
        self.jobs: dict[str, dict[str, Any]] = {}
        self.tokens: set[str] = set()
        self.posted: list[dict[str, Any]] = []
        self._storage = storage
        self._apps = apps
        self._notifications: dict[str, list[dict[str, Any]]] = {}
        self._histories: dict[str, list[dict[str, str]]] = {}

    def answer(self, request: Request) -> Reply:
        if request.path.startswith("/actors"):
            return self._pass_on(request)
        if not self._knows(request):
            return envelope(401, message="Invalid Credentials")
        found = _HISTORY.fullmatch(request.path)
        if found and found[1] in self._histories:
            return envelope(200, self._histories[found[1]])
        if request.method == "POST" and request.path.rstrip("/") == "/jobs/v2":
            return self._submit(request.body)
        return envelope(404, message="there is no such thing here")

    def notifications(self, job_id: str) -> list[dict[str, Any]]:
        """Return what a job's submission wants to be told, and where."""
        return self._notifications[job_id]

    def process(self, job_id: str) -> None:
        """Let a job run to its end."""
        job = self.jobs[job_id]
        self._enter(job, "RUNNING", "Job started running")
        folder = self._storage / job["archivePath"].lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._apps[job["appId"]](folder, job)
        except RuntimeError as error:
            self._enter(job, "FAILED", str(error))
        else:
            self._enter(job, "FINISHED", "Job completed")

    def _submit(self, body: dict[str, Any]) -> Reply:
        if body["appId"] not in self._apps:
            return envelope(404, message=f"No app found matching {body['appId']}")
        job = {
            "id": f"{uuid.uuid4()}-007",
            "owner": "ada",
            "executionSystem": "hpc-tacc-stampede2",
            "tenantId": "sd2e",
            "tenantQueue": "aloe.jobq.sd2e.submit",
            "created": _MOMENT,
            "submitTime": _MOMENT,
            "status": "ACCEPTED",
            "_links": {"self": {"href": f"{self.url}/jobs/v2"}},
            **{name: body[name] for name in body if name != "notifications"},
        }
        self._notifications[job["id"]] = body["notifications"]
        self._histories[job["id"]] = []
        self.jobs[job["id"]] = job
        return envelope(200, job, version=VERSION)

    def _enter(self, job: dict[str, Any], status: str, description: str) -> None:
        job["status"] = status
        entry = {"created": _MOMENT, "status": status, "description": description}
        self._histories[job["id"]].insert(0, entry)
        for notification in self._notifications[job["id"]]:
            if notification["event"] == status:
                url = notification["url"].replace("${JOB_STATUS}", status)
                reply = httpx.post(url, json=job, timeout=SECONDS)
                assert reply.status_code == 200, reply.text
                self.posted.append(reply.json()["result"])

    def _knows(self, request: Request) -> bool:
        """Ask the gateway whether a token is one of its own."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.tokens.add(token)
        headers = {"Authorization": f"Bearer {token}"}
        reply = httpx.get(f"{self.gateway}/actors/v2", headers=headers, timeout=SECONDS)
        return reply.status_code == 200

    def _pass_on(self, request: Request) -> Reply:
        names = ("authorization", "content-type")
        reply = httpx.request(
            request.method,
            f"{self.gateway}{request.target}",
            content=request.content,
            headers={name: request.headers[name] for name in names if name in request.headers},
            timeout=SECONDS,
        )
        return Reply(reply.status_code, reply.content, reply.headers["content-type"])
