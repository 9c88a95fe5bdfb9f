from __future__ import annotations

import itertools
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
    (entry,) = mailbox.take(now)
    return entry


def places(entries: list[Entry]) -> list[int]:
    return [entry.sequence for entry in entries]


def order(mailbox: Mailbox) -> list[int]:
    """Return the places of all messages, one run after the other."""
    found = []
    while entries := mailbox.take(0.0):
        found.append(entries[0].sequence)
        mailbox.end(entries[0])
    return found


def test_messages_of_one_sender_come_in_their_order() -> None:
    assert order(filled("ada", "ada:1", "ada:2", "ada", "ada:1")) == [0, 1, 2, 3, 4]


def test_a_further_worker_is_of_use_for_the_oldest_message_whose_key_does_not_run() -> None:
    mailbox = filled("ada:1", "ada:1", "bob:1", "ada:2", "ada")
    assert mailbox.oldest() is taken(mailbox)
    for sequence in (3, 4):
        oldest = mailbox.oldest()
        assert oldest is not None
        assert oldest.sequence == sequence
        mailbox.end(taken(mailbox))
    assert mailbox.oldest() is None
    assert len(mailbox) == 2


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
    assert mailbox.take(0.0) == []
    mailbox.end(first)
    following = {taken(mailbox).sequence}
    assert mailbox.take(0.0) == []
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
    assert mailbox.take(delay - 0.01) == []
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
        for entry in mailbox.take(now):
            tried += 1
            assert mailbox.take(now) == []
            mailbox.postpone(entry, "away", now)
        now += 0.05
    assert 10 <= tried <= 20
    mailbox.end(taken(mailbox, now + module.MAX_PAUSE))
    assert [mailbox.take(now) for _ in range(8)].count([]) == 0


def test_the_delay_grows_up_to_a_minute() -> None:
    delays = [module.delay_of(tries) for tries in range(1, 2000)]
    assert max(delays) <= 1.25 * module.MAX_DELAY
    assert delays[6] >= 0.75 * module.MAX_DELAY


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


def test_what_is_due_again_and_waits_for_its_turn_can_be_dropped_too() -> None:
    mailbox = filled("ada:1", "ada:2", "ada:2", "bob:3", "eve:3")
    away = [taken(mailbox) for _ in range(3)]
    assert [entry.key for entry in away] == ["1", "3", "2"]
    for entry in away:
        mailbox.postpone(entry, "away", 0.0)
    (running,) = mailbox.take(100.0)
    assert running.sender == "eve"
    # bob's waits for the key, those of ada for her turn
    for entry in away:
        assert mailbox.remove(entry.execution_id) is entry
        assert mailbox.remove(entry.execution_id) is None
    assert len(mailbox) == 1
    mailbox.end(running)
    assert order(mailbox) == [2]


def test_a_mailbox_can_be_emptied_while_a_message_runs() -> None:
    mailbox = filled("ada:1", "ada:1", "bob:1", "ada:2")
    running = taken(mailbox)
    assert sorted(entry.sequence for entry in mailbox.clear()) == [1, 2, 3]
    assert len(mailbox) == 0
    assert mailbox.take(0.0) == []
    add(mailbox, 4, "ada:1")
    assert mailbox.take(0.0) == []
    mailbox.end(running)
    assert order(mailbox) == [4]


class Traffic:
    """A mailbox in use by chance: what comes, runs, and ends."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.mailbox = Mailbox()
        self.now = 0.0
        self.sent = self.dropped = 0
        self.running: list[list[Entry]] = []
        self.ended: dict[tuple[str, str | None], list[int]] = {}

    def send(self) -> None:
        key = self.chance.choice(["", "1", "2", "3"])
        entry = add(self.mailbox, self.sent, f"{self.chance.choice('abc')}:{key}")
        entry.attempts = int(self.chance.random() < 0.2)
        self.sent += 1

    def take(self) -> None:
        entries = self.mailbox.take(self.now, self.chance.choice([1, 4]))
        if entries:
            running = {each.key for others in self.running for each in others} - {None}
            keys = {entry.key for entry in entries}
            assert not keys & running
            # of each key, those of one sender
            assert len({(entry.sender, entry.key) for entry in entries}) == len(keys)
            assert len(entries) == 1 or None not in keys
            self.running.append(entries)

    def drop(self) -> None:
        """Drop one of the messages, if it is to be tried again."""
        dropped = self.mailbox.remove(str(self.chance.randrange(self.sent + 1)))
        if dropped is not None:
            assert dropped.tries
            assert all(dropped not in entries for entries in self.running)
            self.ended.setdefault((dropped.sender, dropped.key), []).append(dropped.sequence)
            self.dropped += 1

    def stop(self) -> None:
        """Let something stop running: it is away, it is handled, or only in part."""
        if not self.running:
            return
        entries = self.running.pop(self.chance.randrange(len(self.running)))
        step = self.chance.random()
        if step < 0.3 and len(entries) == 1:
            self.mailbox.postpone(entries[0], "away", self.now)
            return
        left = []
        for _, lane in itertools.groupby(entries, lambda entry: entry.key):
            of_lane = list(lane)
            done = 0 if step < 0.4 else self.chance.randint(0, len(of_lane))
            for entry in of_lane[:done]:
                self.end(entry)
            left += of_lane[done:]
        for entry in left:
            entry.alone = self.chance.random() < 0.5
            self.mailbox.put_back(entry)

    def end(self, entry: Entry) -> None:
        self.mailbox.end(entry)
        self.ended.setdefault((entry.sender, entry.key), []).append(entry.sequence)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_nothing_is_lost_doubled_or_out_of_order(seed: int) -> None:
    traffic = Traffic(seed)
    for _ in range(3000):
        traffic.now += traffic.chance.random() * 0.2
        steps = [traffic.send, traffic.take, traffic.stop, traffic.drop]
        traffic.chance.choices(steps, [3, 3, 4, 4])[0]()
    assert traffic.dropped
    for entries in traffic.running:
        for entry in entries:
            traffic.end(entry)
    while len(traffic.mailbox):
        traffic.now += 100
        traffic.end(taken(traffic.mailbox, traffic.now))
    assert sorted(number for each in traffic.ended.values() for number in each) == list(
        range(traffic.sent)
    )
    ordered = [each for (_, key), each in traffic.ended.items() if key is not None]
    assert ordered
    assert all(each == sorted(each) for each in ordered)


# Several at once


def test_messages_that_have_keys_are_taken_together_those_of_each_key_in_their_order() -> None:
    mailbox = Mailbox()
    for sequence, text in enumerate(["a:1", "a:1", "a:2", "b:1", "a:1", "b:3", "c"]):
        add(mailbox, sequence, text)
    first = mailbox.take(0.0, 8)
    assert places(first) == [0, 1, 4, 5]
    assert (len(mailbox), mailbox.running) == (3, 4)
    assert sorted(places(list(mailbox.waiting()))) == [2, 3, 6]
    # another sender's has a key that is running, and what has none runs by itself
    later = module.GATHER_SECONDS
    assert places(mailbox.take(later, 8)) == [6]
    second = mailbox.take(later, 8)
    assert places(second) == [2]
    for entry in [*first, *second]:
        mailbox.end(entry)
    assert places(mailbox.take(2 * later, 8)) == [3]


def test_what_comes_while_others_run_gathers_for_a_moment_unless_a_batch_is_full() -> None:
    mailbox = filled("a:1")
    (first,) = mailbox.take(0.0, 3)
    # what runs by itself anyhow does not wait
    alone = add(mailbox, 1, "b")
    assert places(mailbox.take(0.01, 3)) == [1]
    add(mailbox, 2, "a:2")
    assert mailbox.take(0.02, 3) == []
    assert mailbox.next_due(0.02) == pytest.approx(module.GATHER_SECONDS - 0.02)
    add(mailbox, 3, "a:3")
    assert mailbox.take(0.03, 3) == []
    mailbox.end(alone)
    add(mailbox, 4, "a:4")
    assert places(mailbox.take(0.05, 3)) == [2, 3, 4]
    add(mailbox, 7, "a:7")
    assert places(mailbox.take(1.0, 3)) == [7]
    mailbox.end(first)


def test_batches_for_which_nobody_waits_follow_each_other_after_a_moment() -> None:
    mailbox = filled("a:1")
    (entry,) = mailbox.take(5.0, 3)
    mailbox.end(entry)
    add(mailbox, 1, "a:1")
    assert mailbox.take(5.01, 3) == []
    assert mailbox.next_due(5.01) == pytest.approx(module.GATHER_SECONDS - 0.01)
    add(mailbox, 2, "a:2")
    gathered = mailbox.take(5.0 + module.GATHER_SECONDS, 3)
    assert places(gathered) == [1, 2]
    for entry in gathered:
        mailbox.end(entry)
    add(mailbox, 3, "a:3")
    assert mailbox.take(5.11, 3) == []
    # the answer to this one is waited for
    mailbox.add(Entry(4, "4", "a", "4", answered=True))
    assert places(mailbox.take(5.12, 3)) == [3, 4]


def test_what_is_put_back_does_not_gather() -> None:
    mailbox = filled("a:1", "a:2")
    entries = mailbox.take(0.0, 3)
    for entry in entries:
        mailbox.put_back(entry)
    assert mailbox.take(0.0, 3) == entries


def test_senders_take_turns_in_what_is_taken_together() -> None:
    mailbox = Mailbox()
    for sequence, text in enumerate(["a:1", "a:2", "a:3", "b:4", "b:5"]):
        add(mailbox, sequence, text)
    assert places(mailbox.take(0.0, 4)) == [0, 3, 1, 4]


def test_no_more_are_taken_together_than_wanted() -> None:
    mailbox = Mailbox()
    for sequence in range(5):
        add(mailbox, sequence, "a:1")
    assert places(mailbox.take(0.0, 2)) == [0, 1]


def test_messages_without_a_key_run_by_themselves() -> None:
    mailbox = Mailbox()
    for sequence in range(2):
        add(mailbox, sequence, "a")
    assert [places(mailbox.take(0.0, 8)) for _ in range(2)] == [[0], [1]]


def test_what_was_not_handled_together_comes_next_in_its_order() -> None:
    mailbox = Mailbox()
    for sequence in range(5):
        add(mailbox, sequence, "a:1")
    entries = mailbox.take(0.0, 8)
    mailbox.end(entries[0])
    entries[1].alone = True
    for entry in entries[1:]:
        mailbox.put_back(entry)
    assert len(mailbox) == 4
    alone = mailbox.take(0.0, 8)
    assert places(alone) == [1]
    mailbox.end(alone[0])
    assert places(mailbox.take(0.0, 8)) == [2, 3, 4]


@pytest.mark.parametrize("unfit", ["killed", "away", "alone", "not wanted"])
def test_a_message_that_cannot_join_ends_what_is_taken_together(unfit: str) -> None:
    mailbox = Mailbox()
    for sequence in range(4):
        entry = add(mailbox, sequence, "a:1")
        if sequence == 2:
            entry.attempts, entry.tries = int(unfit == "killed"), int(unfit == "away")
            entry.alone = unfit == "alone"

    def wanted(entry: Entry) -> bool:
        return unfit != "not wanted" or entry.sequence != 2

    entries = mailbox.take(0.0, 8, wanted)
    assert places(entries) == [0, 1]
    for entry in entries:
        mailbox.end(entry)
    assert places(mailbox.take(0.0, 8, wanted)) == [2]


def test_what_comes_next_is_known_those_with_its_key_and_then_the_oldest_of_each_sender() -> None:
    mailbox = filled("a:1", "b:2", "a:3", "a:1", "b:2", "a:4", "a:1", "c", "b:5")
    entry = taken(mailbox)
    assert sorted(places(mailbox.following(entry, 20))) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert places(mailbox.following(entry, 2)) == [3, 1]
    # as many of each sender
    assert places(mailbox.following(entry, 8)) == [3, 6, 1, 8, 7, 2, 5]
    (second,) = mailbox.take(0.0)
    assert second.sequence == 1
    assert places(mailbox.following(second, 4)) == [4, 7, 2, 8]
    mailbox.clear()
    assert mailbox.following(entry, 20) == []


def test_those_that_run_together_are_not_dropped_with_those_that_wait() -> None:
    mailbox = Mailbox()
    for sequence in range(5):
        add(mailbox, sequence, "a:1")
    entries = mailbox.take(0.0, 2)
    assert places(mailbox.clear()) == [2, 3, 4]
    for entry in entries:
        mailbox.put_back(entry)
    assert order(mailbox) == [0, 1]
