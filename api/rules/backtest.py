"""A rule replayed over a past period: when it would have fired, on which records, and what became of them. Pure.

A record is replayed by itself, as everything that decides about a firing is its own. What an import told counts as
told when it was true: a history that was brought along can be replayed too. Quotas and people's overrides need a rule
that acts, so the replay has none; everything else is what the worker asks, by the same functions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from api.rules.document import Document, Mode, OnScore
from api.rules.facts import Fact, Subject
from api.rules.matching import Due, Firing, Rulebook, RuleVersion, due_of, is_cooling, slot_due, slots


@dataclass(frozen=True)
class Fired:
    """A firing, the record's stage then, and what a person did about it next."""

    firing: Firing
    stage_id: str | None
    score: float | None
    next_by_people: Fact | None


@dataclass(frozen=True)
class Replay:
    """A rule over a period; `subjects` is what it replays, each with its own call."""

    rule: RuleVersion
    book: Rulebook
    begins: datetime
    ends: datetime
    slots: Sequence[datetime]

    @classmethod
    def of(
        cls, document: Document, book: Rulebook, *, begins: datetime, ends: datetime, above: float | None = None
    ) -> "Replay":
        """Replay a document over a period, with another threshold if it waits for a score."""
        if above is not None and isinstance(document.trigger, OnScore):
            document = document.model_copy(update={"trigger": document.trigger.model_copy(update={"above": above})})
        document = document.model_copy(update={"on_imports": True})
        rule = RuleVersion(UUID(int=0), 1, "", None, Mode.DRY_RUN, document, begins)
        alone = replace(book, versions={rule.rule_id: [rule]}, _waiting={})
        return cls(rule, alone, begins, ends, slots(rule, after=begins, until=ends, zone=book.zone))

    def replay(self, kind: str, subject_id: UUID, history: Sequence[Fact]) -> list[Fired]:
        """The firings on one record; `history` is everything about it in the order of the log."""
        told = sorted((_as_lived(fact) for fact in history), key=lambda fact: fact.recorded_at)
        subject, fired, last = Subject(kind, subject_id), list[Fired](), None
        seen: set[str] = set()
        waits: tuple[Fact, datetime] | None = None
        for number, fact in enumerate([*told, None]):
            until = self.ends if fact is None else min(fact.recorded_at, self.ends)
            candidates = [one for due in self._dues(subject, until, seen) for one in self._come(subject, due)]
            if waits is not None and waits[1] < until:
                candidates += self.book.comes_after(self.rule, waits[0], subject, waits[1])
                waits = None
            if fact is not None:
                subject.learn(fact)
                if self.begins <= fact.recorded_at < self.ends:
                    candidates += self.book.set_off(fact, subject)
                    waits = next(((fact, due_at) for _, due_at in self.book.put_off(fact, subject)), waits)
            for firing in candidates:
                if not is_cooling(self.rule, firing.at, lambda at=last: at):  # type: ignore[misc] # its present value
                    last = firing.at
                    people = (one for one in told[number + (firing.fact is not None) :] if one.actor == "user")
                    score = subject.scores[-1] if subject.scores else None
                    fired.append(Fired(firing, subject.values.get("stage_id"), score, next(people, None)))
        return fired

    def _dues(self, subject: Subject, until: datetime, seen: set[str]) -> Iterator[Due]:
        """What time brings about before an instant, once each."""
        if not self.rule.document.is_timed or self.rule.document.waits:
            return
        due = due_of(self.rule, subject)
        dues = [] if due is None else [due]
        if subject.is_open_deal:
            dues += [
                slot_due(slot, subject.id) for slot in self.slots if subject.created_at and slot >= subject.created_at
            ]
        for one in sorted(dues):
            if self.begins <= one.at < until and one.key not in seen:
                seen.add(one.key)
                yield one
        if not subject.is_open_deal:  # slots that pass meanwhile are none of it
            seen.update(slot_due(slot, subject.id).key for slot in self.slots if slot < until)

    def _come(self, subject: Subject, due: Due) -> list[Firing]:
        return self.book.comes_due(self.rule, subject, due)


def _as_lived(fact: Fact) -> Fact:
    """What an import told, as if it had been told when it was true."""
    return fact._replace(recorded_at=fact.occurred_at) if fact.actor == "import" else fact
