"""Slows down who guesses the credentials that actors ask for in their messages.

An image says in `images.yml` which value of a message names its subject and which one is the secret, and
by which result an actor refuses a wrong secret. From the results is learned who guesses wrong, and which
secrets are right: what an actor has accepted, or told, is never slowed down, whoever else guesses.

All of it is in memory: a restart forgets it.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from abaco.exceptions import TooManyRequests
from abaco.identifiers import spelled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from abaco.images import Guarded

K = TypeVar("K")
V = TypeVar("V")
MAX_SECONDS = 60
FORGET_SECONDS = 60.0
"""After which one wrong guess is forgiven."""
_MAX_SHOWN = 60
"""Characters of a subject that are kept, to be told to an operator."""
MAX_SENDERS, MAX_PROVEN, MAX_WATCHED = 10_000, 100_000, 100_000
"""What is remembered; of more, the oldest is forgotten."""


class Patience(NamedTuple):
    """How much is taken from one sender.

    Attributes:
        refusals: until further messages have to wait.
        in_flight: messages of which it is not known yet whether they will be refused; the fewer,
            the more have been.
    """

    refusals: int
    in_flight: int


OF_SUBJECT = Patience(10, 100)
OF_SENDER = Patience(50, 2_000)
_EVERY = b"every subject"


class Throttled(TooManyRequests):
    """The sender has to wait.

    Attributes:
        subject: about which messages were refused; empty for any.
        is_news: whether this is the first message that has to wait since the sender was trusted.
    """

    def __init__(self, message: str, seconds: int, subject: str, *, is_news: bool) -> None:
        super().__init__(message, seconds)
        self.subject = subject
        self.is_news = is_news


@dataclass
class _Record:
    """What is known of a sender and a subject, or of a sender and all subjects."""

    patience: Patience
    subject: str = ""
    refusals: float = 0.0
    updated: float = 0.0
    until: float = 0.0
    in_flight: int = 0
    noticed: bool = False
    """whether it was said that further messages have to wait"""

    def wait(self, now: float) -> float:
        """Return the seconds until a message is taken; 0 for now."""
        self._forget(now)
        if self.until > now:
            return self.until - now
        left = 1 - self.refusals / self.patience.refusals
        return 0.0 if self.in_flight < max(1.0, self.patience.in_flight * left) else 1.0

    def refused(self, now: float) -> None:
        """Count a refusal."""
        self._forget(now)
        self.refusals += 1
        beyond = math.ceil(self.refusals) - self.patience.refusals
        if beyond >= 0:
            self.until = now + min(MAX_SECONDS, 2**beyond)

    def notice(self) -> bool:
        """Take notice that a message has to wait for its sender's refusals; tell whether that is new."""
        is_news = not self.noticed
        self.noticed = True
        return is_news

    def _forget(self, now: float) -> None:
        self.refusals = max(0.0, self.refusals - (now - self.updated) / FORGET_SECONDS)
        self.updated = now
        if self.refusals < self.patience.refusals - 1:
            self.noticed = False


@dataclass(eq=False)
class Attempt:
    """A message on its way.

    Attributes:
        actor_id: the actor's.
        rule: of its image.
        records: of its sender.
        proofs: of all that it may say; a refusal takes them back.
        provable: what is proven if it is accepted, by subject; nothing if it shows several secrets,
            of which only the actor knows the one that counted.
        counted: whether it counts as in flight, since it proves nothing yet.
        judged: whether its outcome is known.
    """

    actor_id: str
    rule: Guarded
    records: list[_Record]
    proofs: list[bytes]
    provable: Mapping[str, bytes]
    counted: bool
    judged: bool = False


class Throttle:
    """What is known of senders and secrets; it may be used in any thread."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._records: OrderedDict[tuple[str, str, bytes], _Record] = OrderedDict()
        self._proven: OrderedDict[bytes, None] = OrderedDict()
        self._watched: OrderedDict[str, Attempt] = OrderedDict()

    def admit(
        self,
        actor_id: str,
        rule: Guarded,
        sender: str,
        subjects: Iterable[str],
        shown: Collection[str] | None,
    ) -> Attempt:
        """Take a message, before it is stored.

        Args:
            actor_id: whom it is for.
            rule: of the actor's image.
            sender: who sends it, from where.
            subjects: what it is about; what of it counts, only the actor knows.
            shown: the secrets in it; None where they cannot be read. A message without any guesses
                nothing, and is taken.

        Raises:
            Throttled: too many of this sender have been refused.
        """
        named = sorted(set(map(spelled, subjects)) or {""})
        if shown is not None and not shown:
            return Attempt(actor_id, rule, [], [], {}, counted=False)
        proofs = [self._proof(actor_id, each, secret) for each in named for secret in shown or ()]
        single = shown is not None and len(shown) == 1
        provable = dict(zip(named, proofs, strict=True)) if single else {}
        now = time.monotonic()
        with self._lock:
            records = [self._record(actor_id, sender, OF_SUBJECT, now, each) for each in named]
            records.append(self._record(actor_id, sender, OF_SENDER, now))
            is_proven = bool(proofs) and all(proof in self._proven for proof in proofs)
            if not is_proven:
                seconds, record = max(
                    ((record.wait(now), record) for record in records), key=lambda pair: pair[0]
                )
                if seconds:
                    raise _throttled(rule, record, math.ceil(seconds), now)
                for record in records:
                    record.in_flight += 1
        return Attempt(actor_id, rule, records, proofs, provable, not is_proven)

    def watch(self, execution_id: str, attempt: Attempt) -> None:
        """Expect the results of the execution that a message has become."""
        with self._lock:
            dropped = _keep(self._watched, execution_id, attempt, MAX_WATCHED)
            if dropped is not None:
                self._land(dropped)

    def watches(self, execution_id: str) -> bool:
        """Tell whether something may be learned from the results of an execution."""
        return execution_id in self._watched

    def watched(self) -> list[str]:
        """Return the executions whose results are expected."""
        with self._lock:
            return [*self._watched]

    def withdraw(self, attempt: Attempt) -> None:
        """Forget a message that has not become an execution."""
        with self._lock:
            self._land(attempt)

    def told(self, execution_id: str, result: bytes) -> None:
        """Learn from a result of an execution."""
        attempt = self._watched.get(execution_id)
        answer = None if attempt is None else _read(result)
        if attempt is None or answer is None:
            return
        rule, now = attempt.rule, time.monotonic()
        with self._lock:
            if "error" not in answer:
                subject, secret = answer.get(rule.by), answer.get(rule.secret)
                subject = spelled(subject) if isinstance(subject, str) else None
                for proof in _accepted(attempt.provable, subject):
                    self._prove(proof)
                if subject is not None and isinstance(secret, str):
                    self._prove(self._proof(attempt.actor_id, subject, secret))
            elif answer.get("kind") == rule.refusal and not attempt.judged:
                attempt.judged = True
                for proof in attempt.proofs:
                    self._proven.pop(proof, None)
                for record in attempt.records:
                    record.refused(now)

    def ended(self, execution_id: str) -> None:
        """Take notice that an execution has ended, in whatever way."""
        with self._lock:
            attempt = self._watched.pop(execution_id, None)
            if attempt is not None:
                self._land(attempt)

    def _land(self, attempt: Attempt) -> None:
        if attempt.counted:
            attempt.counted = False
            for record in attempt.records:
                record.in_flight -= 1

    def _record(
        self, actor_id: str, sender: str, patience: Patience, now: float, subject: str | None = None
    ) -> _Record:
        """Return what is known of a sender and a subject, or of a sender and all of them."""
        about = _EVERY if subject is None else self._proof(actor_id, subject, "")
        key = (actor_id, sender, about)
        shown = (subject or "")[:_MAX_SHOWN]
        found = self._records.get(key) or _Record(patience, shown, updated=now)
        _keep(self._records, key, found, MAX_SENDERS)
        return found

    def _prove(self, proof: bytes) -> None:
        _keep(self._proven, proof, None, MAX_PROVEN)

    def _proof(self, actor_id: str, subject: str, secret: str) -> bytes:
        parts = ascii((actor_id, subject, secret)).encode()
        return hashlib.blake2b(parts, key=self._key, digest_size=32).digest()


def _throttled(rule: Guarded, record: _Record, seconds: int, now: float) -> Throttled:
    """Return what is said of a message that has to wait."""
    if record.until <= now:
        message = (
            f"Too many messages wait whose {rule.secret} is not checked yet: "
            f"send this one again in {seconds} s."
        )
        return Throttled(message, seconds, record.subject, is_news=False)
    about = f" about this {rule.by}" if record.subject else ""
    message = (
        f"Too many messages{about} had a wrong {rule.secret}. If that of this one is right, "
        f"send it again in {seconds} s."
    )
    return Throttled(message, seconds, record.subject, is_news=record.notice())


def _keep(kept: OrderedDict[K, V], key: K, value: V, most: int) -> V | None:
    """Keep a value as the newest; return the oldest, where that was one too many."""
    kept[key] = value
    kept.move_to_end(key)
    return kept.popitem(last=False)[1] if len(kept) > most else None


def _accepted(provable: Mapping[str, bytes], subject: str | None) -> list[bytes]:
    """Return what an answer proves: about the subject that it names, or the only one there is."""
    if subject is not None:
        return [provable[subject]] if subject in provable else []
    return list(provable.values()) if len(provable) == 1 else []


def _read(result: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(result)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
