"""Fixtures: the page of a gateway that is up, and people who look at it without a browser."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from selenium import webdriver

from pipelinejobs.backend import Backend
from tests.abaco.running import EVERYONE, SECONDS, RunningGateway
from tests.pipelinejobs.page.browsing import Browser, started
from tests.pipelinejobs.running import told

_numbers = itertools.count(1)


class Job(NamedTuple):
    """A job that is made for a test."""

    uuid: str
    token: str


def copy_job(backend: Backend, job: Job, count: int) -> None:
    """Make copies of a job in the database, which differ at the end of their uuids."""
    stored = backend.jobs.load(job.uuid)
    fields = {name: value for name, value in stored.items() if name != "_id"}
    uuids = (f"{job.uuid[:-3]}{number:03}" for number in itertools.count())
    others = itertools.islice((uuid for uuid in uuids if uuid != job.uuid), count)
    copies: list[Any] = [{**fields, "uuid": uuid} for uuid in others]
    backend.jobs.coll.insert_many(copies)


class Person(httpx.Client):
    """Somebody who is signed in; with no token, somebody who is not."""

    def __init__(self, gateway: RunningGateway, token: str = "") -> None:
        super().__init__(base_url=gateway.url, timeout=SECONDS)
        self._token = token

    def __enter__(self) -> Person:  # noqa: PYI034 - Self is newer than Python 3.10
        """Sign in."""
        super().__enter__()
        if self._token:
            reply = self.post("/sign-in", data={"token": self._token})
            assert (reply.status_code, reply.headers["location"]) == (303, "/")
        return self

    def submit(self, path: str, at: str = "/", **fields: str | list[str]) -> httpx.Response:
        """Send a form, as it stands in the page at an address."""
        (secret,) = set(re.findall(r'name="csrf" value="([0-9a-f]+)"', self.get(at).text))
        return self.post(path, data={"csrf": secret, **fields})


def new_address(gateway: RunningGateway, token: str = "") -> str:
    """Return an address that signs the owner of a token in, by default the operator, once."""
    shown = {"Authorization": f"Bearer {token or told(gateway, 'token')}"}
    reply = httpx.post(f"{gateway.url}/sign-in/codes", headers=shown, timeout=SECONDS)
    assert reply.status_code == 200
    return str(reply.json()["address"])


@pytest.fixture(scope="module")
def backend(up: RunningGateway) -> Backend:
    """Where the jobs of the gateway are."""
    return Backend(up.folder / ".local", {})


@pytest.fixture
def make_job(backend: Backend) -> Callable[..., Job]:
    """Make a job in the database."""

    def make(*events: str, **fields: Any) -> Job:
        pipeline = backend.pipeline_uuid("tacobot:9000")
        number = next(_numbers)
        wanted = {"data": {"number": number}, "archive_path": f"/products/v2/page/{number}"}
        stored, _ = backend.jobs.find_or_create({"pipeline_uuid": pipeline, **wanted, **fields})
        token = backend.jobs.get_token(stored)
        for event in events:
            backend.jobs.apply(backend.jobs.load(stored["uuid"]), event, {"by": "the test"})
        return Job(stored["uuid"], token)

    return make


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    """A job to which nothing has happened yet."""
    return make_job()


@pytest.fixture(scope="module")
def operator(up: RunningGateway) -> Iterator[Person]:
    """Whoever opens the address that was printed."""
    with Person(up, told(up, "token")) as person:
        yield person


@pytest.fixture
def user(up: RunningGateway) -> Iterator[Callable[[str, str], Person]]:
    """Sign in somebody who has a level on the manager."""
    with contextlib.ExitStack() as stack:

        def sign_in(name: str, level: str) -> Person:
            allowed = {"user": name, "level": level}
            with up.admin() as admin:
                admin.result("POST", "/jobs-manager/permissions", json=allowed)
            return stack.enter_context(Person(up, up.token(name, (EVERYONE,))))

        yield sign_in


@pytest.fixture(scope="package")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own, in which modules sign in one after the other."""
    driver = started(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def signed_in(driver: webdriver.Chrome, up: RunningGateway) -> Iterator[Browser]:
    """The browser at an address like the one that `make up` prints."""
    kept = {"origin": up.url, "storageTypes": "all"}
    driver.execute_cdp_cmd("Storage.clearDataForOrigin", kept)
    driver.get(new_address(up))
    yield Browser(driver, up)
    # a page that is open asks its gateway for what happens
    driver.get("about:blank")


@pytest.fixture
def browser(signed_in: Browser) -> Iterator[Browser]:
    """The browser, which finds nothing to complain about."""
    signed_in.complaints()
    yield signed_in
    assert signed_in.complaints() == []


@pytest.fixture
def post(up: RunningGateway) -> Callable[..., int]:
    """Report as a platform does: by a POST with the nonce."""

    def send(job: Job, event: str, token: str | None = None, **data: Any) -> int:
        url = f"{up.url}/actors/v2/{told(up, 'actor')}/messages"
        parameters = {
            "x-nonce": told(up, "nonce"),
            "_abaco_synchronous": "true",
            "uuid": job.uuid,
            "token": token or job.token,
            "event": event,
        }
        return httpx.post(url, params=parameters, json=data, timeout=SECONDS).status_code

    return send
