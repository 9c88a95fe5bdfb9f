from __future__ import annotations

import pytest

import addresses


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "127.8.8.8", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",  # noqa: S104 - not bound
     "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::",
     "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "fec0::1", "5f00::1"],
)  # fmt: skip
def test_these_are_private_addresses(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8"])
def test_these_are_not(address: str) -> None:
    assert addresses.is_public(address)


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("8.8.8.8", False),
        ("lab.example.org", False),
        ("", False),
    ],
)
def test_of_a_name_only_a_look_up_tells(host: str, private: bool) -> None:
    assert addresses.is_named_private(host) is private
