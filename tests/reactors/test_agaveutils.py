from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.exceptions import HTTPError

from reactors import agaveutils
from reactors.agaveutils.entity import is_appid
from reactors.agaveutils.uri import (
    agave_uri_from_http,
    from_agave_uri,
    from_tacc_s3_uri,
    http_uri_from_agave,
    to_agave_uri,
)
from reactors.client import make_client
from tests.tenant import Answer, Tenant

NAMES = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_. ~%-]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("parts", "uri"),
    [
        (("data-sd2e", "/uploads/a", "b.txt"), "agave://data-sd2e/uploads/a/b.txt"),
        (("data-sd2e", "uploads/a", "b.txt"), "agave://data-sd2e/uploads/a/b.txt"),
        (("data-sd2e", "/uploads//a/", "b.txt"), "agave://data-sd2e/uploads/a/b.txt"),
        (("data-sd2e", "/", "b.txt"), "agave://data-sd2e/b.txt"),
        (("data-sd2e", "", "b.txt"), "agave://data-sd2e/b.txt"),
        (("data-sd2e", "//uploads", "b.txt"), "agave://data-sd2e/uploads/b.txt"),
        (("data-sd2e", "/uploads/a"), "agave://data-sd2e/uploads/a"),
        (("data-sd2e", "/uploads/a", None), "agave://data-sd2e/uploads/a"),
    ],
)
def test_a_uri_is_made_with_single_slashes(parts: tuple[str, ...], uri: str) -> None:
    assert to_agave_uri(*parts) == uri


def test_a_uri_is_made_from_the_names_that_callers_use() -> None:
    uri = to_agave_uri(systemId="data-sd2e", dirPath="/uploads", fileName="b.txt")
    assert uri == "agave://data-sd2e/uploads/b.txt"


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("agave://data-sd2e/uploads/a/b.txt", ("data-sd2e", "/uploads/a", "b.txt")),
        ("agave://data-sd2e/b.txt", ("data-sd2e", "/", "b.txt")),
        ("agave://data-sd2e/uploads/a/", ("data-sd2e", "/uploads/a", "")),
        ("agave://data-sd2e/", ("data-sd2e", "/", "")),
        ("agave://data-sd2e", ("data-sd2e", "/", "")),
    ],
)
def test_a_uri_is_taken_apart(uri: str, parts: tuple[str, str, str]) -> None:
    assert from_agave_uri(uri) == parts


@settings(deadline=None, max_examples=40)
@given(NAMES, st.lists(NAMES, max_size=4), NAMES)
def test_what_is_put_together_comes_apart_again(
    system: str, folders: list[str], file_name: str
) -> None:
    directory = "/" + "/".join(folders)
    assert from_agave_uri(to_agave_uri(system, directory, file_name)) == (
        system,
        directory,
        file_name,
    )


@pytest.mark.parametrize("uri", ["http://data-sd2e/a", "/uploads/a", "agave:/a", "", "AGAVE"])
def test_what_is_no_agave_uri_is_refused_with_what_to_change(uri: str) -> None:
    with pytest.raises(ValueError, match="it has to begin with agave://"):
        from_agave_uri(uri)


# Other addresses of a file


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("s3://sd2e-community/uploads/a/b.txt", ("data-sd2e-community", "/uploads/a", "b.txt")),
        ("s3://sd2e-community/b.txt", ("data-sd2e-community", "/", "b.txt")),
        ("s3://sd2e-community/uploads/a/", ("data-sd2e-community", "/uploads/a", "")),
    ],
)
def test_an_s3_uri_is_taken_apart(uri: str, parts: tuple[str, str, str]) -> None:
    assert from_tacc_s3_uri(uri) == parts


@pytest.mark.parametrize("uri", ["agave://a/b", "/uploads/a", "s3:/a", ""])
def test_what_is_no_s3_uri_is_refused_with_what_to_change(uri: str) -> None:
    with pytest.raises(ValueError, match="is not an S3 URI: it has to begin with s3://"):
        from_tacc_s3_uri(uri)


@pytest.mark.parametrize(
    ("http", "agave"),
    [
        (
            "https://api.sd2e.org/files/v2/media/system/data-sd2e/uploads/a%20b.txt",
            "agave://data-sd2e/uploads/a b.txt",
        ),
        (
            "http://127.0.0.1:8000/files/v2/media/system/data-sd2e//uploads/b.txt",
            "agave://data-sd2e/uploads/b.txt",
        ),
        ("https://api.sd2e.org/files/v2/media/system/data-sd2e", "agave://data-sd2e/"),
    ],
)
def test_a_url_of_a_file_becomes_its_agave_uri(http: str, agave: str) -> None:
    assert agave_uri_from_http(http) == agave


@pytest.mark.parametrize(
    "url",
    [
        "agave://data-sd2e/uploads/b.txt",
        "ftp://api.sd2e.org/files/v2/media/system/data-sd2e/b.txt",
        "https://api.sd2e.org/files/v2/listings/system/data-sd2e/b.txt",
        "https://api.sd2e.org/x/files/v2/media/system/data-sd2e/b.txt",
        "https://api.sd2e.org/files/v2/media/system/",
        "",
    ],
)
def test_what_is_no_url_of_a_file_is_refused_with_what_to_change(url: str) -> None:
    with pytest.raises(
        ValueError, match="is not the URL of a file: it has to be https://<tenant>/files"
    ):
        agave_uri_from_http(url)


@pytest.mark.parametrize(
    ("server", "base"),
    [
        (None, "https://api.sd2e.org"),
        ("https://api.tacc.utexas.edu/", "https://api.tacc.utexas.edu"),
    ],
)
def test_an_agave_uri_becomes_a_url_of_the_tenant(
    monkeypatch: pytest.MonkeyPatch, server: str | None, base: str
) -> None:
    if server:
        monkeypatch.setenv("_abaco_api_server", server)
    media = f"{base}/files/v2/media/system/data-sd2e"
    assert http_uri_from_agave("agave://data-sd2e/a b/c?.txt") == f"{media}/a%20b/c%3F.txt"
    assert http_uri_from_agave("agave://data-sd2e/b.txt") == f"{media}/b.txt"
    assert http_uri_from_agave("agave://data-sd2e") == f"{media}/"


@settings(deadline=None, max_examples=40)
@given(NAMES, st.lists(NAMES, min_size=1, max_size=4))
def test_a_uri_that_became_a_url_becomes_itself_again(system: str, path: list[str]) -> None:
    uri = f"agave://{system}/{'/'.join(path)}"
    assert agave_uri_from_http(http_uri_from_agave(uri)) == uri


# Entities


@pytest.mark.parametrize(
    "text",
    ["tacos-1.0", "bbq-brisket-0.5.0", "hello_world.2-10.20.30u4", "a-0.1u12"],
)
def test_what_looks_like_the_id_of_an_app_is_one(text: str) -> None:
    assert is_appid(text) is True


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tacos",
        "tacos-1",
        "tacos-1.0u",
        "tacos-1.0\n",
        "-1.0",
        "tacos-1.0-beta",
        "tacos 1.0",
        "JXxQ5WbDPWpJ0",
        "10743f9b-3e69-5c43-b0f1-e5a4b6c3c4a1",
        "x" * 500 + "-1.0",
    ],
)
def test_other_texts_are_none(text: str) -> None:
    assert is_appid(text) is False


# Errors


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Answer(404), "HTTP status 404: as planned"),
        (Answer(502, body=b"<html>gateway</html>"), "HTTP status 502: Bad Gateway"),
        (Answer(400, body=b"[1]"), "HTTP status 400: Bad Request"),
        (Answer(400, body=b'{"message": {"a": 1}}'), "HTTP status 400: Bad Request"),
        (Answer(400, body=b'{"message": "two\\n lines"}'), "HTTP status 400: two lines"),
        (
            Answer(401, body=b'{"fault": {"message": "Invalid Credentials"}}'),
            "HTTP status 401: Invalid Credentials",
        ),
        (Answer(400, body=b'{"message": "%s"}' % (b"x" * 999)), f"HTTP status 400: {'x' * 300}"),
    ],
)
def test_an_error_of_the_platform_is_one_line(tenant: Tenant, answer: Answer, line: str) -> None:
    tenant.plan(answer)
    with pytest.raises(HTTPError) as caught:
        make_client(tenant.environ).actors.get(actorId="nonce-in-the-path")
    assert agaveutils.process_agave_httperror(caught.value) == line


def test_an_error_that_is_no_answer_is_its_name() -> None:
    assert agaveutils.process_agave_httperror(TimeoutError("secret")) == "TimeoutError"


# Where callers look for them


def test_every_function_is_where_callers_look_for_it() -> None:
    places = {
        agaveutils.uri: (
            "to_agave_uri from_agave_uri from_tacc_s3_uri agave_uri_from_http http_uri_from_agave"
        ),
        agaveutils.files: (
            "agave_mkdir agave_download_file agave_upload_file wait_for_file_status"
        ),
        agaveutils.entity: "is_appid",
        agaveutils.recursive: "PemAgent",
    }
    for module, names in places.items():
        for name in names.split():
            assert getattr(agaveutils, name) is getattr(module, name)
    assert callable(agaveutils.process_agave_httperror)


# Who an execution is to the tenant


def test_server_token_and_user_are_those_of_the_platform_or_of_the_client(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(tenant.environ)
    told = (agaveutils.get_api_server, agaveutils.get_api_token, agaveutils.get_api_username)
    names = ("_abaco_api_server", "_abaco_access_token", "_abaco_username")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert [ask(client) for ask in told[:2]] == [tenant.environ[name] for name in names[:2]]
    assert [ask(None) for ask in told] == [None, None, None]
    for name in names:
        monkeypatch.setenv(name, f"the {name}")
    assert [ask(client) for ask in told] == [f"the {name}" for name in names]
