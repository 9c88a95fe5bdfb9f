from __future__ import annotations

import copy
import json

import pytest

from reactors.attrdict import AttrDict


def test_keys_are_attributes_at_every_depth() -> None:
    settings = AttrDict({"a": {"b": {"c": 1}}}, d=2)
    assert settings.a.b.c == 1
    assert settings.d == 2
    assert settings["a"]["b"]["c"] == 1


def test_keys_are_attributes_in_the_members_of_lists() -> None:
    settings = AttrDict({"a": [{"b": 1}, [{"c": 2}], 3]})
    assert settings.a[0].b == 1
    assert settings.a[1][0].c == 2
    assert settings.a == [{"b": 1}, [{"c": 2}], 3]


def test_keys_are_attributes_in_what_is_set_as_one() -> None:
    settings = AttrDict()
    settings.a = {"b": [{"c": 1}]}
    assert settings.a.b[0].c == 1


def test_it_is_the_dictionary_that_it_was_made_of() -> None:
    content = {"a": {"b": [1, {"c": None}]}, "d e": "f"}
    settings = AttrDict(content)
    assert settings == content
    assert json.loads(json.dumps(settings)) == content


def test_a_missing_key_is_a_missing_attribute() -> None:
    settings = AttrDict(a=1)
    assert not hasattr(settings, "b")
    assert settings.get("b") is None
    with pytest.raises(AttributeError, match="b"):
        _ = settings.b


def test_setting_an_attribute_sets_the_key() -> None:
    settings = AttrDict(a=1)
    settings.a = 2
    settings.b = 3
    assert settings == {"a": 2, "b": 3}


def test_the_dictionary_that_it_was_made_of_is_not_changed() -> None:
    content = {"a": {"b": 1}}
    AttrDict(content).a.b = 2
    assert content == {"a": {"b": 1}}


def test_a_deep_copy_shares_nothing() -> None:
    first = AttrDict(a={"b": [1]})
    second = copy.deepcopy(first)
    second.a.b.append(2)
    assert first == {"a": {"b": [1]}}
    assert second.a.b == [1, 2]


def test_a_sum_has_the_keys_of_both_and_the_values_of_the_second() -> None:
    settings = AttrDict({"a": {"b": 1, "c": [2]}, "d": 3})
    added = settings + {"a": {"b": 4}, "e": {"f": 5}}
    assert added == {"a": {"b": 4, "c": [2]}, "d": 3, "e": {"f": 5}}
    assert (added.a.c, added.e.f) == ([2], 5)
    assert {"d": 6, "g": 7} + settings == {"a": {"b": 1, "c": [2]}, "d": 3, "g": 7}
    added.a.c.append(8)
    assert settings == {"a": {"b": 1, "c": [2]}, "d": 3}
    with pytest.raises(TypeError):
        settings + 1


def test_an_attribute_can_be_deleted() -> None:
    settings = AttrDict(a=1)
    del settings.a
    assert settings == {}
    with pytest.raises(AttributeError, match="a"):
        del settings.a
