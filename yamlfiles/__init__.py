"""YAML that says one thing: no key twice, and where asked for, no scalar that YAML 1.1 changes.

YAML 1.1 reads `48:00:00` as 172800, `010` as 8, `1.10` as 1.1 and `no` as false. In a document whose
content decides an identifier, such scalars are refused by name, and their author quotes them.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = ("null", "true", "false", "~", "")
_TEXT_TAG = "tag:yaml.org,2002:str"
_MERGE_TAG = "tag:yaml.org,2002:merge"


class ReadingError(ValueError):
    """The text is not valid YAML, or says two things at once; the message says where."""


class _Once(_Loader):  # type: ignore[misc]  # it is one of two classes
    """Refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set()
        for name, _ in node.value:
            key = (name.tag, name.value) if isinstance(name, yaml.ScalarNode) else None
            if key is not None and name.tag != _MERGE_TAG:
                if key in seen:
                    message = f"the key {name.value!r:.60} stands twice in one mapping"
                    raise yaml.constructor.ConstructorError(None, None, message, name.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


class _Plain(_Once):
    """Refuses also scalars without quotes that are not in JSON what they are in YAML 1.1."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode) and self._is_guessed(node) and not _is_plain(node):
            message = (
                f"{node.value!r:.60} would be changed: put it into quotes if it is a string, "
                "or write it as JSON has it"
            )
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        return super().construct_object(node, deep=deep)

    def _is_guessed(self, node: yaml.ScalarNode) -> bool:
        """Tell whether neither quotes nor a tag say what a scalar is."""
        guess = self.resolve(yaml.ScalarNode, node.value, (True, False))
        return not node.style and bool(node.tag == guess)


def load(text: str, *, plain: bool = False) -> Any:
    """Return the value of a YAML text, without a byte order mark.

    Args:
        text: the YAML; JSON is YAML as well.
        plain: refuse scalars that YAML 1.1 reads as something else than JSON does.

    Raises:
        ReadingError: it is not valid YAML, or has a key twice, or such a scalar.
    """
    loader = _Plain if plain else _Once
    try:
        return yaml.load(text.removeprefix("\ufeff"), Loader=loader)  # noqa: S506 - safe loaders
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        told = isinstance(error, yaml.constructor.ConstructorError) and error.problem
        message = f"{place}: {told or 'not valid YAML'}"
        raise ReadingError(message) from error
    except (ValueError, RecursionError) as error:
        message = ": not valid YAML"
        raise ReadingError(message) from error


def _is_plain(node: yaml.ScalarNode) -> bool:
    text = node.value
    if node.tag == _TEXT_TAG:
        # YAML 1.2 reads 1e5 as a number, YAML 1.1 as a string
        return not _NUMBER.fullmatch(text)
    if text in _WORDS or node.tag == _MERGE_TAG:
        return True
    return bool(_NUMBER.fullmatch(text)) and _is_kept(text)


def _is_kept(text: str) -> bool:
    """Tell whether a number is written as JSON writes it, so that it may not be a version."""
    if not text.lstrip("-").isdigit():
        fraction = re.split("[eE]", text)[0].partition(".")[2]
        return not fraction.endswith("0") or fraction == "0"
    return json.dumps(int(text)) == text
