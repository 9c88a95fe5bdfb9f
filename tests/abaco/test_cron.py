from __future__ import annotations

import contextlib
import datetime
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from abaco import clock, cron, server
from abaco.store import actors
from abaco.store.database import Database
from abaco.store.registrations import Registrant
from tests.abaco.running import NOWHERE, Client, RunningGateway, eventually

HOUR = datetime.timedelta(hours=1)


def at(text: str) -> datetime.datetime:
    """A moment, `2026-11-23 18` or with minutes."""
    return datetime.datetime.fromisoformat(text if ":" in text else f"{text}:00")


def this_hour() -> datetime.datetime:
    """The full hour that has passed last."""
    return clock.now().replace(minute=0, second=0, microsecond=0)


@pytest.mark.parametrize(
    ("interval", "times"),
    [
        ("1 hour", ["2030-01-31 09", "2030-01-31 10"]),
        ("36 hours", ["2030-02-01 20", "2030-02-03 08"]),
        ("1 day", ["2030-02-01 08", "2030-02-02 08"]),
        ("2 weeks", ["2030-02-14 08", "2030-02-28 08"]),
        ("1 month", ["2030-02-28 08", "2030-03-31 08", "2030-04-30 08"]),
        ("13 months", ["2031-02-28 08", "2032-03-31 08"]),
        ("25 months", ["2032-02-29 08"]),
    ],
)
def test_a_schedule_is_a_start_and_an_interval(interval: str, times: list[str]) -> None:
    schedule = cron.parse(f"2030-01-31 08 + {interval}")
    assert schedule.start == at("2030-01-31 08")
    moment, found = schedule.start, []
    for _ in times:
        moment = schedule.after(moment)
        found.append(moment)
    assert found == [at(text) for text in times]


def test_a_schedule_may_begin_now() -> None:
    before = this_hour()
    schedule = cron.parse("now + 3 days")
    assert before <= schedule.start <= this_hour()
    assert (schedule.number, schedule.unit) == (3, "day")


def test_times_that_have_passed_are_left_out() -> None:
    schedule = cron.Schedule(at("2026-01-01 08"), 1, "day")
    assert schedule.after(at("2026-03-05 08:30")) == at("2026-03-06 08")
    assert schedule.after(at("2026-03-05 08")) == at("2026-03-06 08")
    assert schedule.after(at("2025-01-01 08")) == at("2026-01-01 08")


def test_what_follows_is_counted_from_the_start_where_there_is_one() -> None:
    following = cron.following("2026-01-31 08 + 1 month", at("2026-02-28 08"))
    assert following > clock.now()
    assert following.hour == 8
    assert following == cron.Schedule(at("2026-01-31 08"), 1, "month").after(clock.now())
    planned = this_hour() - 5 * HOUR
    assert cron.following("now + 2 hours", planned) == planned + 6 * HOUR


@pytest.mark.parametrize("interval", ["1 hour", "36 hours", "2 weeks", "1 month", "13 months"])
@pytest.mark.parametrize("now", ["2026-01-31 08:30", "2026-02-28 23:59", "2026-03-31 00"])
def test_what_is_planned_is_not_too_late(
    interval: str, now: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: at(now))
    for text in (f"now + {interval}", f"2025-11-30 08 + {interval}"):
        planned = cron.following(text, at("2025-12-31 07"))
        assert cron.not_too_late(text, planned) == planned
    later = f"2090-01-01 08 + {interval}"
    assert cron.not_too_late(later, at("2090-01-01 08")) == at("2090-01-01 08")


def test_what_was_planned_before_the_clock_was_set_back_is_planned_again(
    tmp_path: Path,
) -> None:
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as database:
        with database.write() as tx:
            schedules = ("now + 1 day", "2026-01-01 08 + 1 day", "2090-01-01 08 + 1 day")
            ids = [
                actors.create(
                    tx,
                    "SD2E",
                    Registrant("ada"),
                    {"image": "image", "cron_on": True, "cron_schedule": schedule}
                    | {"cron_next_ex": at("2090-01-01 08")},
                )["id"]
                for schedule in schedules
            ]
        server.follow_clock(database)
        with database.read() as tx:
            found = {actor["id"]: actor["cron_next_ex"] for actor in actors.planned(tx)}
    first, second, last = (found[each] or clock.now() for each in ids)
    assert this_hour() < first <= this_hour() + 24 * HOUR
    assert second == cron.Schedule(at("2026-01-01 08"), 1, "day").after(clock.now())
    assert last == at("2090-01-01 08")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Give an hour in UTC and an interval"),
        ("tomorrow + 1 day", "Give an hour in UTC and an interval"),
        ("2030-01-01 + 1 day", "Give an hour in UTC and an interval"),
        ("2030-01-01 08 1 day", "Give an hour in UTC and an interval"),
        ("2030-13-01 08 + 1 day", "Give an hour in UTC and an interval"),
        ("2030-01-01 24 + 1 day", "Give an hour in UTC and an interval"),
        ("now + 0 days", "Give an hour in UTC and an interval"),
        ("now + -1 days", "Give an hour in UTC and an interval"),
        ("now + 1.5 days", "Give an hour in UTC and an interval"),
        ("now + 999999 months", "Give an hour in UTC and an interval"),
        ("9000-01-01 08 + 999999 weeks", "Give an hour in UTC and an interval"),
        ("9999-12-01 08 + 1 month", "Give an hour in UTC and an interval"),
        ("now + 1 minute", "unit 'minute' is unknown: use one of hour, day, week, month"),
        ("now + 1 fortnight", "unit 'fortnight' is unknown"),
        ("2020-01-01 08 + 1 day", "The starting datetime is old. The current UTC time is "),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(ada: Client, text: str, reason: str) -> None:
    with pytest.raises(cron.InvalidSchedule, match=reason):
        cron.parse(text)
    if text:
        refusal = ada.refusal("POST", "", json={"image": "cold", "cronSchedule": text})
        assert reason in refusal


def executions(client: Client, actor: str) -> list[dict[str, Any]]:
    """The executions of an actor that have ended."""
    found = client.result("GET", f"/{actor}/executions")["executions"]
    return [each for each in found if each["status"] == "COMPLETE"]


def next_execution(client: Client, actor: str) -> datetime.datetime:
    """When an actor is executed next."""
    text = client.result("GET", f"/{actor}")["cronNextEx"]
    return datetime.datetime.fromisoformat(text.removesuffix("Z"))


def test_an_actor_is_executed_when_its_time_has_come(gateway: RunningGateway, ada: Client) -> None:
    before = this_hour()
    actor = ada.actor("teller", cronSchedule="now + 1 hour", cronOn=True)
    (execution,) = eventually(lambda: executions(ada, actor))
    assert ada.result("GET", f"/{actor}/executions/{execution['id']}")["executor"] == "cron"
    environment = json.loads(ada.result_of(actor, execution["id"]))
    assert environment["MSG"] == "This is your cron execution"
    assert environment["_abaco_Content_Type"] == "str"
    assert not {"_abaco_username", "_abaco_api_server"} & environment.keys()
    following = next_execution(ada, actor)
    assert before + HOUR <= following <= this_hour() + HOUR
    # as if an hour and a half had passed
    _set_next(gateway, actor, following - 2 * HOUR)
    eventually(lambda: len(executions(ada, actor)) == 2)
    assert following <= next_execution(ada, actor) <= this_hour() + HOUR
    other = ada.actor("teller", cronSchedule="now + 1 hour")
    eventually(lambda: executions(ada, other))
    assert len(executions(ada, actor)) == 2, "not again, while another one had its turn"


def test_a_schedule_that_ends_with_the_calendar_stops_no_other(
    gateway: RunningGateway, ada: Client
) -> None:
    last, other = (ada.actor("cold", cronSchedule="now + 1 hour") for _ in range(2))
    eventually(lambda: executions(ada, last) and executions(ada, other))
    # as one that this gateway does not take
    _set_next(gateway, last, this_hour(), "now + 999999 months")
    _set_next(gateway, other, this_hour())
    eventually(lambda: len(executions(ada, last)) == len(executions(ada, other)) == 2)
    described = ada.result("GET", f"/{last}")
    assert (described["cronOn"], described.get("cronNextEx")) == (False, None)
    assert next_execution(ada, other) > clock.now()


@pytest.mark.long
def test_what_was_missed_while_the_gateway_was_away_is_made_up_for_once(
    gateway: RunningGateway, ada: Client
) -> None:
    actor = ada.actor("cold", cronSchedule="now + 1 hour")
    eventually(lambda: executions(ada, actor))
    assert gateway.stop() == 0
    _set_next(gateway, actor, this_hour() - 10 * HOUR)
    gateway.start()
    eventually(lambda: len(executions(ada, actor)) == 2)
    assert next_execution(ada, actor) > clock.now()


def test_a_schedule_can_be_turned_off(gateway: RunningGateway, ada: Client) -> None:
    schedule = "now + 1 hour"
    actor = ada.actor("cold", cronSchedule=schedule, cronOn=False)
    other = ada.actor("cold", cronSchedule="now + 1 hour")
    eventually(lambda: executions(ada, other))
    assert executions(ada, actor) == []
    on = {"image": "cold", "cronSchedule": schedule, "cronOn": True}
    ada.result("PUT", f"/{actor}", json=on)
    eventually(lambda: executions(ada, actor))


def _set_next(
    gateway: RunningGateway, actor: str, moment: datetime.datetime, schedule: str | None = None
) -> None:
    file = gateway.settings.data / "abaco.db"
    with sqlite3.connect(file, timeout=30) as connection:
        connection.execute(
            "UPDATE actors SET cron_next_ex = ?, cron_schedule = coalesce(?, cron_schedule) WHERE id = ?",
            (moment.isoformat(" ", "microseconds"), schedule, actor),
        )
    connection.close()


@pytest.mark.parametrize("text", ["2090-1-2 3 + 1 day", "2090-01-2 03 + 1 day"])
def test_days_and_hours_may_have_one_digit(ada: Client, text: str) -> None:
    assert cron.parse(text).start == at("2090-01-02 03")
    actor = ada.actor(NOWHERE, cronSchedule=text, cronOn=True)
    shown = ada.result("GET", f"/{actor}")
    assert (shown["cronSchedule"], shown["cronNextEx"]) == (text, "2090-01-02T03:00:00.000Z")
