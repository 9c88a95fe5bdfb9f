from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactors import agaveutils
from reactors.agaveutils.uri import from_agave_uri, to_agave_uri

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


@settings(deadline=None)
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


def test_both_functions_are_where_callers_look_for_them() -> None:
    assert agaveutils.to_agave_uri is to_agave_uri
    assert agaveutils.from_agave_uri is from_agave_uri
