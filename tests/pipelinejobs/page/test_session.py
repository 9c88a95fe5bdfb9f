"""Who may look at the page, and who may change something."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from abaco.store.sessions import MAX_OF_ONE
from pipelinejobs.page.application import ADDRESSES, Address
from tests.abaco.running import EVERYONE, RunningGateway
from tests.pipelinejobs.page.conftest import Job, Person, new_address
from tests.pipelinejobs.running import Run, told

HTML = {"Accept": "text/html"}


def cookie_of(reply: httpx.Response) -> str:
    return reply.headers["set-cookie"]


def test_the_address_that_is_printed_signs_in_once(up: RunningGateway) -> None:
    address = told(up, "page")
    assert told(up, "token") not in address
    with httpx.Client() as browser:
        # what looks at an address before somebody opens it does not use it up
        assert browser.head(address).status_code == 401
        reply = browser.get(address)
        assert (reply.status_code, reply.headers["location"]) == (303, "/")
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie_of(reply).split("; "))
        assert told(up, "token") not in cookie_of(reply)
        shown = browser.get(f"{up.url}/jobs?order=oldest")
        # from the history of the browser
        again = browser.get(address)
    assert shown.status_code == 200
    assert told(up, "job") in shown.text
    assert told(up, "token") not in shown.text
    assert (again.status_code, again.headers["location"]) == (303, "/")
    other = httpx.get(address)
    assert (other.status_code, "set-cookie" in other.headers) == (401, False)
    assert "has signed somebody in already, or it is too old" in other.text
    assert "<code>pipelinejobs page</code>" in other.text


def test_a_new_address_is_printed_by_a_command(here: RunningGateway, bare: Run) -> None:
    printed = bare("page")
    assert (printed.code, printed.err) == (0, "it signs in once, within ten minutes\n")
    with httpx.Client() as browser:
        assert browser.get(printed.out.strip()).status_code == 303
        assert told(here, "job") in browser.get(f"{here.url}/jobs?order=oldest").text


@pytest.mark.parametrize("shown", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}])
def test_nobody_gets_an_address_without_a_token(shown: dict[str, str], up: RunningGateway) -> None:
    reply = httpx.post(f"{up.url}/sign-in/codes", headers=shown)
    assert (reply.status_code, "code" in reply.text) == (401, False)


def test_an_address_signs_in_within_ten_minutes(up: RunningGateway) -> None:
    address = new_address(up)
    with contextlib.closing(sqlite3.connect(up.settings.data / "abaco.db")) as file, file:
        (seconds,) = file.execute(
            "SELECT max(julianday(expires) - julianday(create_time)) * 86400"
            " FROM sessions WHERE kind = 'code'"
        ).fetchone()
        assert 570 < seconds < 630
        file.execute("UPDATE sessions SET expires = '2020-01-01 00:00:00.000000'")
    reply = httpx.get(address)
    assert (reply.status_code, "set-cookie" in reply.headers) == (401, False)
    assert "too old" in reply.text


def test_a_token_in_the_address_signs_nobody_in(up: RunningGateway) -> None:
    reply = httpx.get(up.url, params={"token": told(up, "token")})
    assert (reply.status_code, "set-cookie" in reply.headers) == (401, False)


def test_a_code_is_used_by_one_of_many_at_once(up: RunningGateway) -> None:
    address = new_address(up)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: httpx.get(address).status_code, range(8)))
    assert sorted(replies) == [303, *[401] * 7]


def test_a_code_is_no_session_and_a_session_no_code(up: RunningGateway) -> None:
    code = new_address(up).partition("code=")[2]
    with Person(up, told(up, "token")) as person:
        ((name, secret),) = person.cookies.items()
    assert httpx.get(up.url, cookies={name: code}).status_code == 401
    assert httpx.get(up.url, params={"code": secret}).status_code == 401
    assert httpx.get(up.url, cookies={name: told(up, "token")}).status_code == 401


def test_a_session_outlives_the_gateway_and_ends_on_the_server(up: RunningGateway) -> None:
    with Person(up, told(up, "token")) as person, Person(up) as thief:
        thief.cookies.update(person.cookies)
        up.stop()
        up.start()
        # not only what the page itself knows: the platform is asked as well
        for path in ("/", "/platform"):
            assert thief.get(path).status_code == person.get(path).status_code == 200
        person.submit("/sign-out")
        assert thief.get("/").status_code == 401
        shown = {"Authorization": f"Bearer {thief.cookies.popitem()}"}
        assert thief.get("/actors/v2", headers=shown).status_code == 401


def test_sessions_of_one_token_are_bounded(up: RunningGateway) -> None:
    token = up.token("sam", (EVERYONE, "Internal/abaco-admin"))
    with Person(up, token) as first, Person(up, token) as second:
        assert first.get("/").status_code == second.get("/").status_code == 200
        with Person(up) as other:
            for _ in range(MAX_OF_ONE - 1):
                assert other.post("/sign-in", data={"token": token}).status_code == 303
                # as another browser would
                other.cookies.clear()
        assert first.get("/").status_code == 401
        assert second.get("/").status_code == 200


def test_it_leads_to_the_address_that_was_asked_for(up: RunningGateway) -> None:
    with Person(up) as person:
        asked = person.get("/jobs/107?text=a%20b&state=RUNNING")
        assert asked.status_code == 401
        assert '<input type="password" name="token"' in asked.text
        (target,) = re.findall(r'action="([^"]+)"', asked.text)
        reply = person.post(target, data={"token": told(up, "token")})
    assert reply.status_code == 303
    assert reply.headers["location"] == "/jobs/107?text=a+b&state=RUNNING"


@pytest.mark.parametrize("target", ["https://example.org", "//example.org", "/\\example.org", ""])
def test_it_leads_to_no_other_site(target: str, up: RunningGateway) -> None:
    with Person(up) as person:
        reply = person.post("/sign-in", params={"next": target}, data={"token": told(up, "token")})
    assert reply.headers["location"] == "/"


@pytest.mark.parametrize("token", ["wrong", "", "ä", "x" * 5000])
def test_a_wrong_token_signs_nobody_in(token: str, up: RunningGateway) -> None:
    with Person(up) as person:
        for reply in (
            person.get("/", params={"code": token}),
            person.post("/sign-in", data={"token": token}),
        ):
            assert reply.status_code == 401
            assert "set-cookie" not in reply.headers
            assert not token or token not in reply.text


def test_a_link_of_another_site_signs_nobody_in(up: RunningGateway) -> None:
    with Person(up) as person:
        address = new_address(up)
        reply = person.get(address, headers={"Sec-Fetch-Site": "cross-site"})
        assert reply.status_code == 401
        assert "set-cookie" not in reply.headers
        # nor is the code used up
        assert person.get(address).status_code == 303


def test_it_ends_with_the_token(up: RunningGateway) -> None:
    grant = up.grant("cass", (EVERYONE, "Internal/abaco-admin"))
    with Person(up, grant.access) as person:
        assert person.get("/").status_code == 200
        assert up.call("token", "revoke", grant.id) == "revoked\n"
        assert person.get("/").status_code == 401


def test_it_ends_by_signing_out(up: RunningGateway) -> None:
    with Person(up, told(up, "token")) as person:
        assert person.post("/sign-out", data={"csrf": "wrong"}).status_code == 303
        assert person.get("/").status_code == 200
        person.submit("/sign-out")
        assert person.get("/").status_code == 401


@pytest.mark.parametrize(
    "address", ADDRESSES, ids=lambda address: f"{address.method} {address.path}"
)
def test_nobody_gets_anything_without_signing_in(address: Address, up: RunningGateway) -> None:
    path = address.path.replace("{", "").replace("}", "")
    with Person(up) as person:
        reply = person.request(address.method, path, data={"x": "y"})
    assert reply.status_code == 401
    assert told(up, "job") not in reply.text


@pytest.mark.parametrize(
    "path", [address.path for address in ADDRESSES if address.method == "POST"]
)
def test_no_form_of_another_site_changes_anything(path: str, operator: Person, job: Job) -> None:
    place = path.format(uuid=job.uuid, actor="jobs-manager", execution="none")
    for fields in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
        reply = operator.post(place, data={"event": "run", "token": job.token, **fields})
        assert reply.status_code == 403
    reply = operator.post(place, json={"event": "run", "token": job.token})
    assert reply.status_code == 415
    assert "CREATED" in operator.get(f"/jobs/{job.uuid}").text


def test_pages_are_compressed_but_not_those_with_nonces(
    operator: Person, up: RunningGateway
) -> None:
    for path in ("/", "/jobs", "/refused", "/static/page.js", "/static/page.css"):
        assert operator.get(path).headers["content-encoding"] == "gzip", path
    platform = operator.get(f"/platform/{told(up, 'actor')}")
    assert "content-encoding" not in platform.headers
    plain = operator.get("/jobs", headers={"Accept-Encoding": "identity"})
    assert ("content-encoding" in plain.headers, "<h1>Jobs</h1>" in plain.text) == (False, True)


def test_the_secret_of_forms_is_not_the_same_in_two_pages(operator: Person, job: Job) -> None:
    # so its letters cannot be guessed from the size of a compressed page (BREACH)
    secrets = [
        re.findall(r'name="csrf" value="([0-9a-f]+)"', operator.get("/jobs").text)[0]
        for _ in range(2)
    ]
    assert secrets[0] != secrets[1]
    for secret in secrets:
        fields = {"csrf": secret, "event": "update", "token": job.token}
        assert operator.post(f"/jobs/{job.uuid}/events", data=fields).status_code == 303
    mixed = secrets[0][:64] + secrets[1][64:]
    fields = {"csrf": mixed, "event": "update", "token": job.token}
    assert operator.post(f"/jobs/{job.uuid}/events", data=fields).status_code == 403


def test_even_with_the_secret_another_site_is_refused(operator: Person, job: Job) -> None:
    operator.headers["Sec-Fetch-Site"] = "cross-site"
    try:
        reply = operator.submit(f"/jobs/{job.uuid}/events", event="run", token=job.token)
    finally:
        del operator.headers["Sec-Fetch-Site"]
    assert reply.status_code == 403


def test_the_cookie_is_no_key_to_the_api(up: RunningGateway, operator: Person) -> None:
    assert operator.get("/actors/v2").status_code in (400, 401)


def test_levels(
    up: RunningGateway,
    user: Callable[[str, str], Person],
    operator: Person,
    make_job: Callable[..., Job],
) -> None:
    job = make_job()
    for event in ("finish", "run"):
        operator.submit(f"/jobs/{job.uuid}/events", event=event, token=job.token)
    with Person(up, up.token("dora")) as stranger:
        assert stranger.get("/").status_code == 403
        assert job.uuid not in stranger.get(f"/jobs/{job.uuid}").text
    reader = user("rita", "READ")
    assert job.uuid in reader.get("/jobs").text
    assert "may look, not send events" in reader.get(f"/jobs/{job.uuid}").text
    for path in (
        f"/jobs/{job.uuid}/events",
        f"/jobs/{job.uuid}/delete",
        "/refused",
        "/subscriptions",
    ):
        reply = reader.submit(path, event="update", token=job.token)
        assert reply.status_code == 403
        assert "rita has READ" in reply.text
    sender = user("egon", "EXECUTE")
    sent = sender.submit(f"/jobs/{job.uuid}/events", event="update", token=job.token)
    assert sent.status_code == 303
    assert sender.submit("/refused", id="x").status_code == 403
    assert "Retry<span" not in sender.get("/refused").text
    assert "Retry<span" in user("uma", "UPDATE").get("/refused").text


def test_headers(operator: Person) -> None:
    for path, status in (("/", 200), ("/nope", 404), ("/jobs/nope", 404), ("/static/page.js", 200)):
        reply = operator.get(path, headers=HTML)
        assert reply.status_code == status
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in reply.headers
    assert operator.get("/").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["origin", "referer"])
def test_who_names_no_address_comes_from_elsewhere(up: RunningGateway, name: str) -> None:
    with Person(up) as stranger:
        headers = {name: "http://["}
        assert stranger.get("/sign-in", headers=headers).status_code == 401
        refused = stranger.post("/sign-in", headers=headers, data={"token": told(up, "token")})
        assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)


def test_a_program_is_told_in_json_that_a_path_is_unknown(operator: Person) -> None:
    reply = operator.get("/nope")
    assert (reply.status_code, reply.json()["status"]) == (404, "error")
    assert reply.headers["access-control-allow-origin"] == "*"
    shown = operator.get("/nope", headers=HTML)
    assert (shown.status_code, shown.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_the_api_goes_on_to_answer_other_sites(up: RunningGateway) -> None:
    with up.client() as client:
        assert client.get("").headers["access-control-allow-origin"] == "*"


def test_what_is_no_form_is_refused(operator: Person) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, status in ((b"\xff", 400), (b"&".join([b"a=1"] * 101), 400), (b"a" * 2_200_000, 413)):
        assert operator.post("/subscriptions", content=body, headers=form).status_code == status
    assert operator.put("/").status_code == 405
    assert operator.get("/sign-out").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Referer": "https://example.org/a"},
    ],
)
def test_no_other_site_signs_anybody_in(headers: dict[str, str], up: RunningGateway) -> None:
    with Person(up) as person:
        for reply in (
            person.post("/sign-in", data={"token": told(up, "token")}, headers=headers),
            person.get(new_address(up), headers=headers),
        ):
            assert reply.status_code == 401
            assert "set-cookie" not in reply.headers


def test_a_name_leads_to_nothing_else(up: RunningGateway, operator: Person) -> None:
    actor = told(up, "actor")
    for name in ("..", ".", ""):
        assert operator.submit(f"/platform/{actor}/nonces/delete", nonce=name).status_code == 400
    assert operator.submit(f"/platform/{actor}/executions/%2e%2e/stop").status_code == 400
    assert operator.get(f"/platform/{actor}").status_code == 200


def test_a_name_that_was_rebound_leads_to_nothing(up: RunningGateway, operator: Person) -> None:
    for path in ("/", "/sign-in", "/static/page.js", "/actors/v2", "/healthz"):
        reply = operator.get(path, headers={"Host": f"rebound.example.org:{up.port}"})
        assert (reply.status_code, reply.json()["status"]) == (421, "error")


def test_paths_of_the_api_are_answered_by_the_api(operator: Person) -> None:
    reply = operator.get("/actors/v2/nope/x/y", headers=HTML)
    assert (reply.status_code, reply.json()["status"]) == (404, "error")
    assert reply.headers["access-control-allow-origin"] == "*"
