from __future__ import annotations

import random

import pytest

from abaco.workers import mailbox as module
from abaco.workers.mailbox import Entry, Mailbox


def filled(*sent: str) -> Mailbox:
    """Return a mailbox with messages, each `sender` or `sender:key`."""
    mailbox = Mailbox()
    for sequence, text in enumerate(sent):
        add(mailbox, sequence, text)
    return mailbox


def add(mailbox: Mailbox, sequence: int, text: str) -> Entry:
    sender, _, key = text.partition(":")
    entry = Entry(sequence, str(sequence), sender, key or None)
    mailbox.add(entry)
    return entry


def taken(mailbox: Mailbox, now: float = 0.0) -> Entry:
    entry = mailbox.take(now)
    assert entry is not None
    return entry


def order(mailbox: Mailbox) -> list[int]:
    """Return the places of all messages, one run after the other."""
    found = []
    while (entry := mailbox.take(0.0)) is not None:
        found.append(entry.sequence)
        mailbox.end(entry)
    return found


def test_messages_of_one_sender_come_in_their_order() -> None:
    assert order(filled("ada", "ada:1", "ada:2", "ada", "ada:1")) == [0, 1, 2, 3, 4]


def test_senders_take_turns() -> None:
    assert order(filled("ada", "ada", "ada", "bob", "bob", "eve")) == [0, 3, 5, 1, 4, 2]


def test_one_message_does_not_wait_for_thousands_of_somebody_else() -> None:
    mailbox = filled(*["ada"] * 20_000)
    mailbox.end(taken(mailbox))
    add(mailbox, 20_000, "bob")
    first, second = taken(mailbox), taken(mailbox)
    assert 20_000 in (first.sequence, second.sequence)


def test_messages_with_one_key_run_one_at_a_time_and_others_beside_them() -> None:
    mailbox = filled("ada:1", "ada:1", "ada:2", "bob:1")
    first, other = taken(mailbox), taken(mailbox)
    assert (first.sequence, other.sequence) == (0, 2)
    assert mailbox.take(0.0) is None
    mailbox.end(first)
    following = {taken(mailbox).sequence}
    assert mailbox.take(0.0) is None
    assert following <= {1, 3}


def test_messages_without_a_key_run_beside_each_other() -> None:
    mailbox = filled("ada", "ada", "ada")
    assert [taken(mailbox).sequence for _ in range(3)] == [0, 1, 2]


def test_what_was_interrupted_is_next_again() -> None:
    mailbox = filled("ada:1", "ada:1")
    mailbox.put_back(taken(mailbox))
    assert len(mailbox) == 2
    assert order(mailbox) == [0, 1]


def test_what_could_not_be_handled_comes_again_later_and_before_what_is_behind_it() -> None:
    mailbox = filled("ada:1", "ada:1")
    delay = mailbox.postpone(taken(mailbox), "the database is away", 0.0)
    assert 0.75 <= delay <= 1.25
    assert mailbox.take(delay - 0.01) is None
    again = taken(mailbox, delay)
    assert (again.sequence, again.tries, again.reason) == (0, 1, "the database is away")
    mailbox.end(again)
    assert taken(mailbox, delay).sequence == 1


def test_messages_with_other_keys_need_not_wait() -> None:
    mailbox = filled("ada:1", "ada:2", "ada:2")
    mailbox.postpone(taken(mailbox), "away", 0.0)
    other = taken(mailbox, module.FIRST_PAUSE)
    assert other.sequence == 1
    mailbox.end(other)
    assert taken(mailbox, module.FIRST_PAUSE).sequence == 2


def test_while_something_is_away_one_message_is_tried_at_a_time_and_ever_more_rarely() -> None:
    mailbox = filled(*(f"ada:{number}" for number in range(1000)))
    mailbox.postpone(taken(mailbox), "away", 0.0)
    now, tried = 0.0, 1
    while now < 60:
        entry = mailbox.take(now)
        if entry is not None:
            tried += 1
            assert mailbox.take(now) is None
            mailbox.postpone(entry, "away", now)
        now += 0.05
    assert 10 <= tried <= 20
    mailbox.end(taken(mailbox, now + module.LONGEST_PAUSE))
    assert [mailbox.take(now) for _ in range(8)].count(None) == 0


def test_the_delay_grows_up_to_a_minute() -> None:
    delays = [module.delay_of(tries) for tries in range(1, 2000)]
    assert max(delays) <= 1.25 * module.LONGEST_DELAY
    assert delays[6] >= 0.75 * module.LONGEST_DELAY


def test_who_waits_is_told_when_something_may_run() -> None:
    mailbox = filled("ada:1", "ada:2")
    assert mailbox.next_due(0.0) is None
    delay = mailbox.postpone(taken(mailbox), "away", 0.0)
    assert mailbox.next_due(0.0) == pytest.approx(module.FIRST_PAUSE)
    mailbox.end(taken(mailbox, module.FIRST_PAUSE))
    assert mailbox.next_due(0.5) == pytest.approx(delay - 0.5)


def test_it_is_known_what_a_message_has_to_wait_for() -> None:
    mailbox = filled("ada:1", "ada:1", "ada:2")
    assert mailbox.ahead_of("ada", "1") is None
    mailbox.postpone(taken(mailbox), "away", 0.0)
    ahead = mailbox.ahead_of("ada", "1")
    assert ahead is not None
    assert ahead.sequence == 0
    assert [mailbox.ahead_of(*each) for each in (("ada", "2"), ("bob", "1"), ("ada", None))] == [
        None,
        None,
        None,
    ]


def test_a_message_that_is_to_be_tried_again_can_be_dropped() -> None:
    mailbox = filled("ada:1", "ada:1", "ada:2")
    mailbox.postpone(taken(mailbox), "away", 0.0)
    assert mailbox.remove("1") is None
    dropped = mailbox.remove("0")
    assert dropped is not None
    assert (dropped.sequence, len(mailbox)) == (0, 2)
    first = taken(mailbox, module.FIRST_PAUSE)
    mailbox.end(first)
    assert [first.sequence, *order(mailbox)] == [1, 2]


def test_a_mailbox_can_be_emptied_while_a_message_runs() -> None:
    mailbox = filled("ada:1", "ada:1", "bob:1", "ada:2")
    running = taken(mailbox)
    assert sorted(entry.sequence for entry in mailbox.clear()) == [1, 2, 3]
    assert len(mailbox) == 0
    assert mailbox.take(0.0) is None
    add(mailbox, 4, "ada:1")
    assert mailbox.take(0.0) is None
    mailbox.end(running)
    assert order(mailbox) == [4]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_nothing_is_lost_doubled_or_out_of_order(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    mailbox, now, sequence = Mailbox(), 0.0, 0
    running: list[Entry] = []
    ended: dict[tuple[str, str | None], list[int]] = {}
    for _ in range(3000):
        now += chance.random() * 0.2
        step = chance.random()
        if step < 0.3:
            add(mailbox, sequence, f"{chance.choice('abc')}:{chance.choice(['', 1, 2, 3])}")
            sequence += 1
        elif step < 0.6:
            entry = mailbox.take(now)
            if entry is not None:
                keys = [other.key for other in running if other.key is not None]
                assert entry.key not in keys
                running.append(entry)
        elif running:
            entry = running.pop(chance.randrange(len(running)))
            if step < 0.7:
                mailbox.postpone(entry, "away", now)
            elif step < 0.75:
                mailbox.put_back(entry)
            else:
                mailbox.end(entry)
                ended.setdefault((entry.sender, entry.key), []).append(entry.sequence)
    for entry in running:
        mailbox.end(entry)
        ended.setdefault((entry.sender, entry.key), []).append(entry.sequence)
    while len(mailbox):
        now += 100
        entry = taken(mailbox, now)
        mailbox.end(entry)
        ended.setdefault((entry.sender, entry.key), []).append(entry.sequence)
    assert sorted(number for each in ended.values() for number in each) == list(range(sequence))
    ordered = [each for (_, key), each in ended.items() if key is not None]
    assert ordered
    assert all(each == sorted(each) for each in ordered)
