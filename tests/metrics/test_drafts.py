"""What became of drafts, counted by hand: from events through the marts that dbt builds to the answer."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from contracts.channels import Channel, MessageKind, SendSource
from contracts.events.conversations import MessageReceived, MessageSent
from contracts.events.drafts import DraftApproved, DraftGenerated, DraftKind, DraftRejected
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.conftest import Asker
from tests.metrics.stories import Told

_HASH = "0" * 64


class _Writing:
    def __init__(self, log: EventLog) -> None:
        self.log, self.author, self.account = log, log.user(), log.new_id()

    def draft(self, day: float, conversation: UUID, deal: UUID | None, prompt: str) -> UUID:
        facts: dict[str, Any] = {"kind": DraftKind.REPLY, "prompt": prompt, "model": "small", "inputs_hash": _HASH}
        facts |= {"cited": [], "input_tokens": 1, "output_tokens": 1, "cost_micro": 5, "length": 10}
        made = self.log.new_id()
        generated = DraftGenerated(**facts, conversation_id=conversation, deal_id=deal, author_id=self.author)
        self.log.add(generated, made, at=BEGINNING + days(day))
        return made

    def approve(self, draft: UUID, day: float) -> None:
        event = DraftApproved(approved_by=self.author, text_hash=_HASH, is_edited=False, length=10)
        self.log.add(event, draft, at=BEGINNING + days(day))

    def send(self, draft: UUID, conversation: UUID, day: float) -> None:
        event = MessageSent(
            **self._message(conversation), source=SendSource.DRAFT, source_id=draft, author_id=self.author
        )
        self.log.add(event, self.log.new_id(), at=BEGINNING + days(day))

    def hear(self, conversation: UUID, day: float, kind: MessageKind = MessageKind.MESSAGE) -> None:
        event = MessageReceived(**self._message(conversation), kind=kind)
        self.log.add(event, self.log.new_id(), at=BEGINNING + days(day))

    def _message(self, conversation: UUID) -> dict[str, Any]:
        nobody = {"contact_id": None, "deal_id": None, "assignee_id": None}
        facts = {"conversation_id": conversation, "account_id": self.account, "channel": Channel.EMAIL}
        return {**facts, **nobody, "length": 10, "attachments": 0}


def _tell(log: EventLog) -> None:
    pipeline = log.pipeline()
    deal = log.deal(pipeline, at=BEGINNING)
    write = _Writing(log)
    one, two = log.new_id(), log.new_id()
    write.hear(one, 0.5)  # before any draft: no answer to it
    first = write.draft(1, one, deal.id, "reply@1")
    write.approve(first, 1.1)
    write.approve(first, 1.2)
    write.send(first, one, 2)
    write.hear(one, 2.5, MessageKind.AUTO_REPLY)
    write.hear(one, 3)
    log.move(deal, pipeline.stages[1], at=BEGINNING + days(4))
    second = write.draft(5, two, None, "reply@2")
    write.approve(second, 5.1)
    write.send(second, two, 6)
    third = write.draft(7, two, None, "reply@2")
    log.add(DraftRejected(rejected_by=write.author, was_approved=False), third, at=BEGINNING + days(7.5))
    write.draft(8, two, None, "reply@2")


_STORY = Told(_tell)


def test_drafts_are_counted_step_by_step_and_by_prompt(ask_built: Callable[[EventLog], Asker]) -> None:
    asker = ask_built(_STORY.log)
    period: dict[str, Any] = {"start": BEGINNING.date(), "end": (BEGINNING + days(30)).date()}

    def figures(**given: Any) -> list[tuple[str, int, int, int]]:
        found = asker.answer("draft_outcomes", **period, **given).rows
        return [(row["stage_id"], row["entered"], row["still_here"], row["lost"]) for row in found]

    assert figures() == [
        ("generated", 4, 1, 1),
        ("approved", 2, 0, 0),
        ("sent", 2, 1, 0),
        ("replied", 1, 0, 0),
        ("moved", 1, 0, 0),
        ("rejected", 1, 0, 0),
    ]
    assert figures(as_of=(BEGINNING + days(2.2)).isoformat())[:4] == [
        ("generated", 1, 0, 0),
        ("approved", 1, 0, 0),
        ("sent", 1, 1, 0),
        ("replied", 0, 0, 0),
    ]
    by_prompt = asker.answer("draft_outcomes", **period, group_by="prompt").rows
    assert {row["group"]: row["entered"] for row in by_prompt if row["stage_id"] == "sent"} == {
        "reply@1": 1,
        "reply@2": 1,
    }
