from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelinejobs.backend import ACTOR, ALIAS, AUTHN, NONCE, SECRETS, SERVER, TOKEN, Backend
from pipelinejobs.exceptions import UsageError

ELSEWHERE = "mongodb://db.example.org"
CACHED = {"baseurl": "http://cached", "access_token": "cached-token"}
FROM_CACHE = {SERVER: "http://cached", TOKEN: "cached-token"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `make up` has left: an actor, a nonce, and a client's cache."""
    data = tmp_path / "local" / "abaco"
    (data / "agave").mkdir(parents=True)
    (data / ACTOR.lower()).write_text("kept-actor\n")
    (data / NONCE.lower()).write_text("kept-nonce\n")
    (data / "agave" / "current").write_text(json.dumps(CACHED))
    return data.parent


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {ACTOR: "kept-actor", NONCE: "kept-nonce", **FROM_CACHE, AUTHN: None}),
        ({NONCE: "mine"}, {ACTOR: "kept-actor", NONCE: "mine", **FROM_CACHE}),
        # the actor and its nonce belong to the gateway of `make up`, whatever the database
        ({AUTHN: ELSEWHERE}, {AUTHN: ELSEWHERE, ACTOR: "kept-actor", NONCE: "kept-nonce"}),
        ({TOKEN: "mine"}, {SERVER: "http://cached", TOKEN: "mine"}),
        # a token is shown to its own gateway only
        ({SERVER: "http://mine"}, {SERVER: "http://mine", TOKEN: None, ACTOR: None, NONCE: None}),
        ({"_abaco_actor_id": "mine"}, {"_abaco_actor_id": "mine"}),
        ({}, {"_abaco_actor_id": ALIAS}),
        # the nonce is for the actor's id, and for no other name
        ({ACTOR: "mine"}, {"_abaco_actor_id": "mine", ACTOR: "mine", NONCE: None}),
        ({ACTOR: "kept-actor"}, {ACTOR: "kept-actor", NONCE: "kept-nonce"}),
    ],
)
def test_of_the_sources_of_a_variable_the_first_is_believed(
    folder: Path, given: dict[str, str], found: dict[str, str | None]
) -> None:
    environ = Backend(folder, given).environ
    assert {name: environ.get(name) for name in found} == found


def test_where_there_is_a_secret_that_is_not_used_it_is_said_why(folder: Path) -> None:
    (folder / "abaco" / SECRETS[0].lower()).write_text("kept-key")
    (folder / "abaco" / SECRETS[1].lower()).write_text("kept-secret")
    assert Backend(folder, {}).admin_token()
    with pytest.raises(UsageError, match=f"not used where {AUTHN} names a database"):
        Backend(folder, {AUTHN: ELSEWHERE}).admin_token()


def test_without_any_source_there_is_an_actor_to_look_for(tmp_path: Path) -> None:
    assert Backend(tmp_path, {}).environ == {"_abaco_actor_id": ALIAS}
