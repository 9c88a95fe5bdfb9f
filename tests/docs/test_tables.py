"""What the tables and diagrams say is what the code does."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from abaco.images import IMAGES_SCHEMA, load_images
from abaco.settings import SETTINGS_SCHEMA, Containers, Limits, load
from abaco.workers import environment
from datacatalog.linkedstores.pipelinejob import AgaveEvents, TapisEvents, fsm
from datacatalog.linkedstores.transfer import BUCKETS, COLLECTIONS
from datacatalog.settings import CatalogSettings
from manager import exceptions, openlineage, schemas, settings
from manager.messages import classify
from pipelinejobs import graph
from pipelinejobs.page.application import ADDRESSES
from reactors import tenant
from reactors.logtypes import slack
from reactors.runtime import Reactor
from reactors.settings import PREFIX
from tests.conftest import ROOT
from tests.docs.pages import blocks, code, rows, section, text_of

CONCEPTS = text_of("docs/concepts.md")
HTTP = text_of("docs/http-api.md")
SETTINGS = text_of("docs/settings.md")
CONTAINERS = text_of("docs/containers.md")
GATEWAY = text_of("docs/gateway.md")
ARCHITECTURE = text_of("docs/architecture.md")
JOB = "10763fe2-145a-58f3-9c95-d3a15d46e46c"
PIPELINE = "106763d9-4af5-5ed9-8476-daa6c5212528"


# docs/concepts.md


def test_the_table_of_events_is_the_state_machine() -> None:
    table = {code(event)[0]: rest for event, *rest in rows(CONCEPTS, "event | from")}
    assert list(table) == list(fsm.EVENTS)
    for event, (source, target) in table.items():
        transition = fsm.TRANSITIONS[event]
        states = set(re.findall(r"[A-Z]{3,}", source)) or set(fsm.STATES)
        assert states == transition.sources, event
        assert (None if target == "the same" else target) == transition.target, event
        assert ("administrative" in source) == transition.administrative, event


def test_the_table_of_states_is_that_of_the_state_machine() -> None:
    assert dict(rows(CONCEPTS, "state | a job in it")) == fsm.STATES


def test_the_diagram_is_what_the_command_line_draws() -> None:
    (diagram,) = [
        block.text for block in blocks(ROOT / "docs" / "concepts.md") if block.language == "mermaid"
    ]
    assert diagram == graph.mermaid(graph.Path())


def test_the_table_of_collections_has_each_that_is_exported() -> None:
    named = {name for first, _ in rows(CONCEPTS, "collection |") for name in code(first)}
    assert named == {*COLLECTIONS, BUCKETS}


# docs/http-api.md


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Create", schemas.CREATE),
        ("Event", schemas.EVENT),
        ("Event in the URL", schemas.URL),
        ("Agave and Aloe", schemas.AGAVE),
        ("Agave and Aloe", schemas.ALOE),
        ("Tapis v3", schemas.TAPIS),
        ("CloudEvents", schemas.CLOUD),
        ("OpenLineage", schemas.LINEAGE),
        ("Delete", schemas.DELETE),
    ],
)
def test_a_section_has_an_example_of_the_kind_it_is_about(title: str, kind: str) -> None:
    text = section(HTTP, title).replace("\n> ", "\n")
    found = [
        classify(Reactor({**url(query), "MSG": body}, folders=[ROOT])).kind
        for query, body in examples(text)
    ]
    assert kind in found


def examples(text: str) -> list[tuple[str, str]]:
    """Return the parameters and bodies of the curl commands in a string."""
    variables = {"JOB": JOB, "PIPELINE": PIPELINE, "JOB_TOKEN": "0123456789abcdef", "NONCE": "N_1"}
    found = re.findall(
        r"^\$ curl [^\n]*\"\$URL\?([^\"]*)\"[^\n]*-d (?:'([^'\n]*)'|@- <<'?END'?\n(.*?)^END$)",
        text,
        re.MULTILINE | re.DOTALL,
    )
    return [
        (
            Template(query).safe_substitute(variables),
            Template(line or body).safe_substitute(variables),
        )
        for query, line, body in found
    ]


def url(query: str) -> dict[str, str]:
    """Return the parameters of a URL."""
    return dict(part.split("=", 1) for part in query.split("&"))


def test_the_table_of_statuses_is_the_mapping() -> None:
    table = {
        status: code(event)[0]
        for statuses, event in rows(HTTP, "status | event")
        for status in re.findall(r"[A-Z_]{4,}", statuses)
    }
    assert table == AgaveEvents.agavejobs


def test_the_table_of_tapis_is_the_mapping() -> None:
    table = {
        (category, name): code(event)[0]
        for cell, event in rows(HTTP, "category, and status | event")
        for category, _, names in [cell.rpartition(": ")]
        for name in re.findall(r"[A-Z_]{4,}", names)
    }
    statuses = {
        name: event for (category, name), event in table.items() if category == "JOB_NEW_STATUS"
    }
    categories = {name: event for (category, name), event in table.items() if not category}
    assert statuses == TapisEvents.tapisjobs
    assert len(categories) == 6
    for name, event in categories.items():
        assert TapisEvents.process(f"jobs.{name}.FINISHED") == event
    assert TapisEvents.process("jobs.JOB_NEW_STATUS.ANOTHER") == table["JOB_NEW_STATUS", "QUEUED"]


def test_the_table_of_openlineage_is_the_mapping() -> None:
    table = {
        name: code(event)[0]
        for names, event in rows(HTTP, "event type | event")
        for name in re.findall(r"[A-Z]{4,}", names)
    }
    assert table == openlineage.EVENTS


def test_the_attributes_of_a_cloud_event_are_those_of_its_schema() -> None:
    schema = json.loads(text_of("schemas/cloudevents.jsonschema"))
    table = {name: rest for first, rest in rows(HTTP, "attribute |") for name in code(first)}
    assert set(table) == set(schema["properties"])
    for name, meaning in table.items():
        assert (name in schema["required"]) == (not meaning.startswith("optional")), name


def test_the_kinds_are_in_the_order_in_which_they_are_tried() -> None:
    named = re.findall(r"^\| \[.*\(\.\./schemas/(\w+)\.jsonschema\) \|$", HTTP, re.MULTILINE)
    assert tuple(named) == schemas.KINDS


def test_the_table_of_refusals_has_every_kind() -> None:
    named = {code(first)[0] for first, *_ in rows(HTTP, "kind | meaning")}
    known = {each.kind for each in exceptions.Refusal.__subclasses__()}
    assert named == known | {"unexpected"}


def test_the_keys_of_a_create_are_those_of_its_schema() -> None:
    schema = json.loads(text_of("schemas/create.jsonschema"))
    table = {name: rest for first, rest in rows(HTTP, "key |") for name in code(first)}
    assert set(table) == set(schema["properties"])
    for name, meaning in table.items():
        assert (name in schema["required"]) == (not re.match("optional|accepted", meaning)), name


# docs/settings.md


def test_the_table_of_settings_has_every_key_with_its_default() -> None:
    shipped = yaml.safe_load(text_of("config.yml"))
    table = {
        key: default for cell, default, _ in rows(SETTINGS, "key | default") for key in code(cell)
    }
    known = set(settings.SWITCHES) | {
        f"{name}.{key}" for name, keys in settings.SECTIONS.items() for key in keys
    }
    assert set(table) == known
    for key, default in table.items():
        value = shipped
        for part in key.split("."):
            value = value[part]
        expected = {"": "", False: "false", True: "true"}.get(value if value != [] else "", value)
        assert default in (str(expected), "none" if value == [] else str(expected)), key


def sources(*folders: str) -> str:
    """Return the code of some folders."""
    return "\n".join(path.read_text() for name in folders for path in (ROOT / name).rglob("*.py"))


def test_the_table_of_variables_has_every_one_that_the_code_reads() -> None:
    table = {
        name: default
        for cell, default, _ in rows(SETTINGS, "variable | default")
        for name in code(cell)
    }
    code_of_all = sources("manager", "reactors", "datacatalog", "pipelinejobs", "local")
    assert set(table) == set(re.findall(r'"((?:CATALOG|TACC)_[A-Z_]+[A-Z])"', code_of_all))
    defaults = CatalogSettings.from_environ({})
    for name, default in table.items():
        # a value that is the variable's own, so that the setting is found by it
        probes = {"CATALOG_LOCAL_STORAGE": "system=/folder", "CATALOG_ENFORCE_TOKENS": "true"}
        probe = probes.get(name, "4711")
        (changed,) = [
            field
            for field in CatalogSettings._fields
            if getattr(CatalogSettings.from_environ({name: probe}), field)
            != getattr(defaults, field)
        ]
        assert default == str(getattr(defaults, changed) or ""), name


def test_the_variables_of_the_command_line_are_those_that_it_reads() -> None:
    named = {
        code(cell)[0] for cell, _ in rows(section(SETTINGS, "Variables"), "variable | meaning")
    }
    read = set(
        re.findall(r'"(PIPELINEJOBS_[A-Z]+|AGAVE_[A-Z_]+)"', sources("pipelinejobs", "local"))
    )
    assert named == read | {"NO_COLOR"}


def test_what_the_platform_tells_is_what_the_actor_reads() -> None:
    told = section(SETTINGS, "What the platform tells")
    named = {name for cell, _ in rows(told, "variable | meaning") for name in code(cell)}
    code_of_actor = sources("manager", "reactors")
    read = set(re.findall(r'"(_abaco_[A-Za-z_]+)"', code_of_actor))
    others = {"MSG", "x_session", "SESSION", "LOCALONLY"}
    assert named == read | others
    assert all(f'"{name}"' in code_of_actor for name in others)


def test_the_sections_of_other_actors_have_the_keys_that_are_read() -> None:
    sentence = re.search(r"`slack` with (.*?), for", SETTINGS, re.DOTALL)
    assert sentence is not None
    assert set(code(sentence[1])) == {"webhook", *slack.OPTIONS}


def test_the_table_of_the_gateway_has_every_key_with_its_default(tmp_path: Path) -> None:
    table = rows(section(SETTINGS, "The gateway's file"), "key | default")
    documented = {code(first)[0]: default for first, default, _ in table}
    assert set(documented) == set(SETTINGS_SCHEMA["properties"])
    defaults = load(tmp_path / "abaco.yml")
    for name in ("host", "port"):
        assert documented[name] == str(getattr(defaults, name))
    assert documented["data"] == str(defaults.data.relative_to(tmp_path))
    assert documented["images"] == defaults.images_files[0].name
    assert documented["tenants"] == defaults.default_tenant
    assert documented["case"] == defaults.case
    assert documented["engine"] == defaults.engine


def test_the_table_of_limits_has_every_limit_with_its_default() -> None:
    documented = {
        code(first)[0]: float(default) for first, default, _ in rows(SETTINGS, "limit | default")
    }
    assert documented == {field.name: float(field.default) for field in fields(Limits)}  # type: ignore[arg-type]  # all are numbers


# docs/containers.md


def test_the_table_of_containers_has_every_setting_with_its_default() -> None:
    table = rows(CONTAINERS, "container setting | default")
    documented = {code(first)[0]: default for first, default, _ in table}
    defaults = {field.name: field.default for field in fields(Containers)}
    defaults["registries"] = ", ".join(Containers.registries)
    assert documented == {name: str(default) for name, default in defaults.items()}
    assert set(documented) == set(SETTINGS_SCHEMA["properties"]["containers"]["properties"])


# docs/gateway.md


def test_the_table_of_images_has_every_key() -> None:
    documented = [code(first)[0] for first, _ in rows(GATEWAY, "key | meaning")]
    assert documented == list(IMAGES_SCHEMA["additionalProperties"]["properties"])


def test_the_table_of_names_says_what_passes_by_url() -> None:
    table = {first: code(first) for first, *_ in rows(GATEWAY, "name | as a URL parameter")}
    read, others, own = (table[name] for name in table if name.startswith(("what", "every", "the")))
    assert set(read) == set(environment.READ_BY_PROGRAMS)
    assert set(own) == set(environment.PLATFORM)
    sent = [(name.replace("*", "x"), "1") for name in (*read, *others, *own)]
    assert environment.split(sent, None) == ({}, [name for name, _ in sent])
    synchronous = [("_abaco_synchronous", "true")]
    assert environment.split(synchronous, None) == (dict(synchronous), [])


def test_the_manager_protects_every_variable_that_it_is_configured_by() -> None:
    class Asked(dict[str, str]):
        """An environment that keeps what it was asked for."""

        def get(self, name: str, default: Any = None) -> Any:
            names.add(name)
            return default

    names: set[str] = set()
    CatalogSettings.from_environ(Asked())
    tenant.api_server(Asked())
    for folder in ("manager", "reactors", "datacatalog"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text()
            names.update(re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', text))
            names.update(re.findall(r'"((?:CATALOG|TACC)_\w+)"', text))
    names |= {f"{PREFIX}{name.upper()}" for name in settings.SWITCHES}
    for part, keys in settings.SECTIONS.items():
        names |= {f"{PREFIX}{part.upper()}_{key.upper()}" for key in keys}
    names |= {f"{PREFIX}SLACK_{key.upper()}" for key in ("webhook", *slack.OPTIONS)}
    assert {"CATALOG_LOCAL_STORAGE", "TACC_API_SERVER", "LOCALONLY"} < names
    image = load_images(ROOT / "images.yml")["pipelinejobs-manager"]
    # the name of a run is its sender's to choose
    free = {name for name in names if name in image.parameters}
    assert free == {"SESSION"}
    platform = {name for name in names if environment.is_platforms(name)}
    assert "_abaco_api_server" in platform
    unprotected = {name for name in names if not environment.is_protected(name, image)}
    assert unprotected == free | platform


# docs/architecture.md


def test_the_contracts_are_those_that_are_checked() -> None:
    contracts = re.findall(
        r'^\[\[tool\.importlinter\.contracts\]\]\nname = "(.*)"$',
        text_of("pyproject.toml"),
        re.MULTILINE,
    )
    assert len(contracts) >= 7
    assert [first for first, _ in rows(ARCHITECTURE, "contract | why")] == contracts


def test_what_the_rooms_and_the_guide_name_is_there() -> None:
    cells = [cell for row in rows(ARCHITECTURE, "what | where") for cell in row]
    cells += [first for first, _ in rows(ARCHITECTURE, "room | what it knows")]
    paths = [name for cell in cells for name in code(cell) if "/" in name or "." in name]
    assert len(paths) > 20
    for name in paths:
        assert (ROOT / name).exists(), name


def test_every_folder_of_the_repository_is_a_room() -> None:
    named = {code(first)[0].strip("/") for first, _ in rows(ARCHITECTURE, "room | what it knows")}
    there = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"schemas"}
    assert there <= named


def test_the_table_of_the_page_has_every_noun() -> None:
    listed = {
        path for row in rows(text_of("docs/page.md"), "address | shows") for path in code(row[0])
    }
    nouns = {path.split("/")[1] for path in listed}
    assert nouns == {address.path.split("/")[1] for address in ADDRESSES} - {"counts"}
