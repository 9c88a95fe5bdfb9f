"""Typed UUIDs: UUID5 with the type of the named thing in the first three hexadecimal digits."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from datacatalog.identifiers import hashid
from datacatalog.settings import CatalogSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

UUID_MOCK_NAMESPACE = uuid.uuid3(uuid.NAMESPACE_DNS, "tacc.cloud.dev")
HASHIDS_SALT = "xCPJ7PKTdp8BYYb4twh9xNYD"

PREFIXES = {
    "generic": "100",
    "challenge_problem": "101",
    "experiment": "102",
    "sample": "103",
    "measurement": "104",
    "file": "105",
    "pipeline": "106",
    "pipelinejob": "107",
    "pipelinejob_event": "108",
    "reference": "109",
    "product": "110",
    "upload": "111",
    "experiment_design": "114",
    "input_classifier": "115",
    "fixity": "116",
    "process": "117",
    "annotation": "118",
    "inline_annotation": "119",
    "query": "120",
    "dashboard": "121",
    "tag_annotation": "122",
    "text_annotation": "123",
    "association": "124",
    "structured_request": "125",
}
TYPES = {prefix: name for name, prefix in PREFIXES.items()}

# RFC 9562: version 5 in the third group, variant 8, 9, a or b in the fourth
_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


_URN = re.compile(r"(uri:)?(urn:)?(uuid:)?")


def listall() -> list[str]:
    """Return the names of all types, sorted."""
    return sorted(PREFIXES)


def catalog_uuid(
    text_value: str, uuid_type: str = "generic", namespace: uuid.UUID | None = None
) -> str:
    """Return the typed UUID of a string.

    Args:
        text_value: what the UUID stands for.
        uuid_type: a key of `PREFIXES`.
        namespace: by default that of `CATALOG_DNS_DOMAIN`.

    Raises:
        KeyError: there is no such type.
    """
    prefix = PREFIXES[uuid_type]
    if namespace is None:
        namespace = CatalogSettings.from_environ().namespace
    return prefix + str(uuid.uuid5(namespace, text_value))[3:]


def generate(text_value: str | None = None, uuid_type: str = "generic") -> str:
    """Return the typed UUID of a string, or a random one where there is no text."""
    return catalog_uuid(uuid.uuid4().hex if text_value is None else text_value, uuid_type)


def mock(text_value: str | None = None, uuid_type: str = "generic") -> str:
    """Do as `generate` does, in a namespace that no real identifier is in."""
    text = uuid.uuid4().hex if text_value is None else text_value
    return catalog_uuid(text, uuid_type, UUID_MOCK_NAMESPACE)


def get_uuidtype(query_uuid: str) -> str:
    """Return the name of a typed UUID's type.

    Raises:
        ValueError: the prefix is that of no type.
    """
    try:
        return TYPES[query_uuid[:3]]
    except KeyError:
        message = f"{query_uuid} not a known form of TypedUUID"
        raise ValueError(message) from None


def validate(text_value: object, *, permissive: bool = False) -> bool:
    """Tell whether a value is a typed UUID in its canonical form.

    Raises:
        ValueError: it is not, and `permissive` is off.
    """
    if (
        isinstance(text_value, str)
        and _FORM.fullmatch(text_value) is not None
        and text_value[:3] in TYPES
    ):
        return True
    if permissive:
        return False
    message = f"{text_value} is not a typed UUID"
    raise ValueError(message)


def canonical(text_value: str) -> str:
    """Return a typed UUID as it is stored: in lower case, without the prefix of an URN."""
    return _URN.sub("", text_value.strip().lower(), count=1)


def validate_uuid5(text_value: object, *, permissive: bool = True) -> bool:
    """Tell whether a value is a UUID of version 5, typed or not.

    Raises:
        ValueError: it is not, and `permissive` is off.
    """
    if isinstance(text_value, str) and _FORM.fullmatch(text_value.lower()):
        return True
    if permissive:
        return False
    message = f"{text_value!r:.60} is not a UUID of version 5"
    raise ValueError(message)


def listify_uuid(uuids: str | Iterable[str]) -> list[str]:
    """Return one UUID or several as a list.

    Raises:
        ValueError: one of them is none.
    """
    given = [uuids] if isinstance(uuids, str) else list(uuids)
    for each in given:
        validate_uuid5(each, permissive=False)
    return given


def uuid_to_hashid(uuid_string: str, salt: str = HASHIDS_SALT) -> str:
    """Return the short name of a UUID: hashids (hashids.org) of its value as an integer."""
    return hashid.encode(uuid.UUID(uuid_string).int, salt)


def hashid_to_uuid(text: str) -> str:
    """Return the UUID of a short name made by `uuid_to_hashid`.

    Raises:
        ValueError: the text is no such name.
    """
    numbers = hashid.decode(text, HASHIDS_SALT)
    if len(numbers) != 1:
        message = f"{text} is not the hashid of a UUID"
        raise ValueError(message)
    return str(uuid.UUID(int=numbers[0]))
