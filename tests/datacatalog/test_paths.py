from __future__ import annotations

import pytest

from datacatalog import paths


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/a/b", "/a/b"),
        ("//a///b/", "/a/b"),
        ("/a/./b/../c", "/a/c"),
        ("/../../a", "/a"),
        ("  /a b  ", "/a b"),
        ("a", "/a"),
        ("", "/"),
        ("/", "/"),
        ("/a%20b#c?d", "/a%20b#c?d"),
    ],
)
def test_a_path_is_normalized(given: str, expected: str) -> None:
    assert paths.normalize(given) == expected
    assert paths.normalize(expected) == expected


def test_a_uri_names_a_system_and_a_path() -> None:
    assert paths.to_uri("data-tacos", "/a/b") == "agave://data-tacos/a/b"
    assert paths.from_uri(" agave://data-tacos//a/./b ") == ("data-tacos", "/a/b")
    assert paths.from_uri("agave://data-tacos") == ("data-tacos", "/")


@pytest.mark.parametrize("text", ["/a/b", "https://example.org/a", "Agave", "", "xagave://a/b"])
def test_other_texts_are_no_uri(text: str) -> None:
    assert paths.from_uri(text) is None


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("/a/b", "/a", True),
        ("/a", "/a", True),
        ("/a", "/", True),
        ("/ab", "/a", False),
        ("/", "/a", False),
    ],
)
def test_what_is_inside_a_folder(path: str, folder: str, expected: bool) -> None:
    assert paths.is_inside(path, folder) is expected
