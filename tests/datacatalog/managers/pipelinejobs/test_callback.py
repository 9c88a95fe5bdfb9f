from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from datacatalog.managers.pipelinejobs.callback import (
    agave_notifications,
    callback_url,
    tapis_notifications,
)

UUID = "107a6c4a-f354-53d6-b97d-2c497b9b352e"


@pytest.mark.parametrize(
    "base", ["https://api.example.org", "https://api.example.org/", "https://api.example.org//"]
)
def test_the_server_is_joined_with_one_slash(base: str) -> None:
    url = callback_url(base, "jobs", "nonce", token="t0k3n", uuid=UUID, session="solid-snake")
    assert url == (
        "https://api.example.org/actors/v2/jobs/messages"
        f"?x-nonce=nonce&token=t0k3n&uuid={UUID}&session=solid-snake"
    )


@pytest.mark.parametrize("nonce", [None, ""])
def test_without_a_nonce_there_is_no_such_parameter(nonce: str | None) -> None:
    url = callback_url("https://api.example.org", "jobs", nonce, token="t0k3n", uuid=UUID)
    assert url == f"https://api.example.org/actors/v2/jobs/messages?token=t0k3n&uuid={UUID}"


def test_whatever_the_values_are_they_arrive() -> None:
    values = {"x-nonce": "a&b=c", "token": "t/+ =", "uuid": "u#?", "session": "é %20&uuid=x"}
    url = callback_url(
        "https://api.example.org",
        "jobs/../x",
        values["x-nonce"],
        token=values["token"],
        uuid=values["uuid"],
        session=values["session"],
    )
    parts = urlsplit(url)
    assert parse_qs(parts.query) == {name: [value] for name, value in values.items()}
    assert parts.path == "/actors/v2/jobs%2F..%2Fx/messages"


def test_agave_posts_to_the_callback_with_its_status_behind_it() -> None:
    url = callback_url("https://api.example.org", "jobs", "nonce", token="t0k3n", uuid=UUID)
    assert [(one["event"], one["url"]) for one in agave_notifications(url)] == [
        ("RUNNING", f"{url}&status=${{JOB_STATUS}}&job_id=${{JOB_ID}}"),
        ("FINISHED", f"{url}&status=FINISHED&job_id=${{JOB_ID}}"),
        ("FAILED", f"{url}&status=${{JOB_STATUS}}&job_id=${{JOB_ID}}"),
    ]


def test_tapis_posts_everything_to_the_callback_for_as_long_as_it_takes() -> None:
    """As `ReqSubscribe` of the Jobs API of Tapis v3 has it."""
    url = callback_url("https://api.example.org", "jobs", "nonce", token="t0k3n", uuid=UUID)
    (subscription,) = tapis_notifications(url)
    assert subscription.pop("description")
    assert subscription == {
        "enabled": True,
        "eventCategoryFilter": "ALL",
        "deliveryTargets": [{"deliveryMethod": "WEBHOOK", "deliveryAddress": url}],
        "ttlminutes": 0,
    }
