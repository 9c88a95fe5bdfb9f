from __future__ import annotations

from pathlib import Path

import pytest

from abaco.exceptions import SettingsError
from abaco.images import load_images


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "images.yml"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("taco: 1", "taco: 1 is not of type 'object'"),
        ("taco: {folder: a}", "taco: 'command' is a required property"),
        ("taco: {command: [a]}", "taco: 'folder' is a required property"),
        ("taco: {folder: a, command: b}", "taco.command: 'b' is not of type 'array'"),
        ("taco: {folder: a, command: []}", "taco.command: [] should be non-empty"),
        ("taco: {folder: a, command: [b], mode: hot}", "taco.mode: 'hot' is not one of"),
        ("taco: {folder: a, command: [b], mode: warm}", "taco: 'handler' is a required property"),
        ("taco: {folder: a, command: [b], handler: run}", "taco.handler: 'run' does not match"),
        ("taco: {folder: a, command: [b], environment: {A: 1}}", "environment.A: 1 is not of type"),
        ("taco: {folder: a, command: [b], register: {}}", "taco.register: {} should be non-empty"),
        (
            "taco: {folder: a, command: [b], register: {roles: [root]}}",
            "roles.0: 'root' is not one",
        ),
        ("taco: {folder: a, command: [b], variables: ['*']}", "variables.0: '*' does not match"),
        ("taco: {folder: a, command: [b], parameters: ['?']}", "parameters.0: '?' does not match"),
        ("taco: {folder: a, command: [b], seconds: 0}", "taco.seconds: 0 is less than or equal"),
        (
            "taco: {folder: a, command: [b], colour: red}",
            "taco: there is no key 'colour': use some of",
        ),
        ("1: {folder: a, command: [b]}", "1 is not of type 'string'"),
    ],
)
def test_an_image_that_cannot_be_used_is_named(file: Path, content: str, reason: str) -> None:
    file.write_text(content)
    with pytest.raises(SettingsError) as raised:
        load_images(file)
    assert reason in str(raised.value)
    assert str(file) in str(raised.value)


def test_images_are_read_again_when_their_file_has_changed(file: Path) -> None:
    for name in ("taco", "salsa"):
        file.write_text(f"{name}: {{folder: ., command: [make]}}")
        (image,) = load_images(file).values()
        assert (image.name, image.folder, image.mode) == (name, file.parent, "cold")


def test_images_of_the_data_folder_are_added_to_those_of_the_repository(tmp_path: Path) -> None:
    shipped, own = tmp_path / "images.yml", tmp_path / "data" / "images.yml"
    own.parent.mkdir()
    shipped.write_text("taco: {folder: ., command: [make]}")
    own.write_text("taco: {folder: ., command: [rm]}\nsalsa: {folder: ., command: [stir]}")
    images = load_images(shipped, own)
    assert {name: image.command for name, image in images.items()} == {
        "taco": ("make",),
        "salsa": ("stir",),
    }
    assert images["salsa"].folder == own.parent


def test_a_file_that_is_missing_has_no_images(file: Path) -> None:
    assert load_images(file) == {}
