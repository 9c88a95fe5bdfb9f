"""Changes are told to those who look."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from local.database import LocalDatabase
from pipelinejobs.page.application import MAX_OF_ONE
from pipelinejobs.page.live import MEDIA_TYPE
from tests.abaco.running import ADMIN, EVERYONE, SECONDS, RunningGateway, eventually
from tests.pipelinejobs.page.conftest import Job, Person
from tests.pipelinejobs.running import gateway_in, told

STREAM = {"Accept": MEDIA_TYPE}


@contextlib.contextmanager
def following(person: Person, path: str) -> Iterator[Callable[[], str]]:
    """Yield what waits for the next version of a page."""
    with person.stream("GET", path, headers=STREAM, timeout=SECONDS) as reply:
        assert (reply.status_code, reply.headers["content-type"]) == (200, MEDIA_TYPE)
        lines = reply.iter_lines()

        def version() -> str:
            return next(line for line in lines if line.startswith("data: "))

        yield version


def version_of(person: Person, path: str) -> str:
    text = person.get(path).text
    return text.partition('data-version="')[2].partition('"')[0]


def await_news(person: Person) -> None:
    """Wait until what has happened so far is known; an answer holds for half a second."""
    version_of(person, "/jobs")
    time.sleep(0.6)
    version_of(person, "/jobs")


def test_a_change_is_told(operator: Person, job: Job) -> None:
    path = f"/jobs/{job.uuid}"
    await_news(operator)
    with following(operator, path) as version:
        first = version()
        assert first == f"data: {version_of(operator, path)}"
        operator.submit(f"{path}/events", event="run", token=job.token)
        assert version() == f"data: {version_of(operator, path)}" != first


def test_who_looks_at_one_job_is_not_told_of_another(
    operator: Person, make_job: Callable[..., Job]
) -> None:
    one, other = make_job(), make_job()
    await_news(operator)
    before = version_of(operator, f"/jobs/{one.uuid}")
    listed = version_of(operator, "/jobs")
    operator.submit(f"/jobs/{other.uuid}/events", event="run", token=other.token)
    await_news(operator)
    assert version_of(operator, f"/jobs/{one.uuid}") == before
    assert version_of(operator, "/jobs") != listed


@pytest.mark.parametrize(
    "path", ["/", "/jobs", "/refused", "/pipelines", "/subscriptions", "/platform"]
)
def test_lists_can_be_followed(path: str, operator: Person) -> None:
    await_news(operator)
    with following(operator, path) as version:
        assert version() == f"data: {version_of(operator, path)}"


def test_an_execution_is_followed(operator: Person, up: RunningGateway, job: Job) -> None:
    with following(operator, f"/platform/{told(up, 'actor')}") as version:
        first = version()
        operator.submit(f"/jobs/{job.uuid}/events", event="run", token=job.token)
        assert version() != first


def test_nobody_follows_without_signing_in(up: RunningGateway) -> None:
    with Person(up) as person:
        assert person.get("/", headers=STREAM).status_code == 401


@pytest.mark.long
def test_the_gateway_ends_at_once_although_somebody_looks(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    gateway = gateway_in(tmp_path_factory.mktemp("ending")).start()
    with Person(gateway, told(gateway, "token")) as person, following(person, "/jobs") as version:
        version()
        began = time.monotonic()
        assert gateway.stop() == 0
        # the connections that are left would be cut after 8 s
        assert time.monotonic() - began < 8
        with contextlib.suppress(httpx.HTTPError, StopIteration):
            version()


def test_it_ends_with_the_token(up: RunningGateway) -> None:
    grant = up.grant("cora", (EVERYONE, ADMIN))
    with Person(up, grant.access) as person, following(person, "/platform") as version:
        version()
        assert up.call("token", "revoke", grant.id) == "revoked\n"
        # something else on the platform may change meanwhile
        with pytest.raises(StopIteration):
            [version() for _ in range(10)]


def test_nobody_takes_the_streams_of_others(up: RunningGateway, operator: Person) -> None:
    token = up.token("greta", (EVERYONE, ADMIN))
    with contextlib.ExitStack() as stack:
        greedy = stack.enter_context(Person(up, token))
        for _ in range(MAX_OF_ONE):
            stack.enter_context(following(greedy, "/"))()
        assert greedy.get("/", headers=STREAM).status_code == 503
        with following(operator, "/jobs") as version:
            assert version()


def test_only_get_is_a_stream(operator: Person) -> None:
    assert operator.head("/", headers=STREAM).headers["content-type"].startswith("text/html")


@pytest.mark.long
def test_where_the_database_does_not_answer_the_rest_does(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("down")
    with gateway_in(folder, _REACTOR_MONGODB_TIMEOUT="2") as gateway:
        server = LocalDatabase(folder / ".local").status()
        assert server is not None
        with Person(gateway, told(gateway, "token")) as person, ThreadPoolExecutor(20) as threads:
            os.kill(server.pid, signal.SIGSTOP)
            try:
                waiting = [threads.submit(person.get, "/") for _ in range(20)]
                assert person.get("/platform").status_code == 200
                assert person.get("/healthz").status_code == 200
                assert not all(reply.done() for reply in waiting)
                replies = [reply.result() for reply in waiting]
                assert {reply.status_code for reply in replies} == {503}
                assert "does not answer: try again later" in replies[0].text
                # whoever asks now does not wait as well
                began = time.monotonic()
                assert person.get("/").status_code == 503
                assert time.monotonic() - began < 1.9
            finally:
                os.kill(server.pid, signal.SIGCONT)
            eventually(lambda: person.get("/").status_code == 200)
