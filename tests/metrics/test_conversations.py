"""Conversations and messages, counted by hand: from events through the marts that dbt builds to the answer."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from contracts.channels import Channel, MessageKind, SendSource
from contracts.events.conversations import (
    ConversationAssigned,
    ConversationClosed,
    ConversationOpened,
    MessageFailed,
    MessageQueued,
    MessageRead,
    MessageReceived,
    MessageSent,
)
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.conftest import Asker
from tests.metrics.stories import Told


class _Inbox:
    """Tells of conversations by mail."""

    def __init__(self, log: EventLog) -> None:
        self.log, self.account = log, log.new_id()

    def opened(self, day: float, assignee: UUID | None) -> UUID:
        facts = {"channel": Channel.EMAIL, "account_id": self.account, "contact_id": None, "deal_id": None}
        made = self.log.new_id()
        event = ConversationOpened(**facts, assignee_id=assignee, team_id=None, is_reopened=False)
        self.log.add(event, made, at=BEGINNING + days(day))
        return made

    def _facts(self, conversation: UUID, assignee: UUID | None) -> dict[str, Any]:
        return {
            "conversation_id": conversation,
            "account_id": self.account,
            "channel": Channel.EMAIL,
            "contact_id": None,
            "deal_id": None,
            "assignee_id": assignee,
            "length": 10,
            "attachments": 0,
        }

    def received(self, conversation: UUID, day: float, kind: MessageKind = MessageKind.MESSAGE) -> None:
        event = MessageReceived(**self._facts(conversation, None), kind=kind)
        self.log.add(event, self.log.new_id(), at=BEGINNING + days(day))

    def sent(self, conversation: UUID, day: float, *, fails: bool = False) -> UUID:
        origin: dict[str, Any] = {"source": SendSource.REPLY, "source_id": None, "author_id": None}
        facts, made = self._facts(conversation, None), self.log.new_id()
        self.log.add(MessageQueued(**facts, **origin), made, at=BEGINNING + days(day))
        if fails:
            event: Any = MessageFailed(
                conversation_id=conversation, account_id=self.account, reason="refused", is_unknown=False
            )
        else:
            event = MessageSent(**facts, **origin)
        self.log.add(event, made, at=BEGINNING + days(day + 0.01))
        return made


def _tell(log: EventLog) -> tuple[UUID, UUID]:
    ada, ben = log.user(), log.user()
    inbox = _Inbox(log)
    theirs = inbox.opened(1, ada)  # they wrote, we answered after two days, then again
    inbox.received(theirs, 1)
    inbox.sent(theirs, 3)
    inbox.sent(theirs, 4)
    handed_over = inbox.opened(1, ada)  # an automatic answer of theirs begins nothing
    inbox.received(handed_over, 1, MessageKind.AUTO_REPLY)
    inbox.received(handed_over, 2)
    log.add(ConversationAssigned(assignee_id=ben, team_id=None), handed_over, at=BEGINNING + days(3))
    inbox.sent(handed_over, 6)
    log.add(ConversationClosed(assignee_id=ben, team_id=None), handed_over, at=BEGINNING + days(7))
    replied, silent, away = (inbox.opened(2, ben) for _ in range(3))
    for one in (replied, silent, away):
        read = inbox.sent(one, 2)
        inbox.sent(one, 5)  # another one of ours is no answer
        log.add(MessageRead(conversation_id=one), read, at=BEGINNING + days(6))
    inbox.received(replied, 8)
    inbox.received(away, 3, MessageKind.AUTO_REPLY)
    inbox.sent(silent, 9, fails=True)
    return ada, ben


_STORY = Told(_tell)


def test_counts_answers_and_waits_as_they_were(ask_built: Callable[[EventLog], Asker]) -> None:
    asker, (ada, ben) = ask_built(_STORY.log), _STORY.by
    period: dict[str, Any] = {"start": BEGINNING.date(), "end": (BEGINNING + days(35)).date()}

    def answer(metric: str, by: str) -> dict[str | None, dict[str, Any]]:
        return {row["group"]: row for row in asker.answer(metric, **period, group_by=by).rows}

    waits = answer("first_response_time", "user")
    assert {group: row["answered"] for group, row in waits.items()} == {str(ada): 1, str(ben): 1}
    assert waits[str(ada)]["median_days"] == pytest.approx(2.01)
    assert waits[str(ben)]["median_days"] == pytest.approx(4.01)
    resolved = answer("resolution_time", "user")
    assert {group: (row["closed"], row["median_days"]) for group, row in resolved.items()} == {str(ben): (1, 5.0)}
    [rate] = answer("reply_rate", "channel").values()
    assert (rate["group"], rate["replied"], rate["unanswered"]) == ("email", 1, 2)
    assert rate["reply_rate"] == pytest.approx(1 / 3)
    [counts] = answer("messages", "channel").values()
    assert {name: counts[name] for name in ("received", "sent", "failed", "unknown")} == {
        "received": 3,
        "sent": 9,
        "failed": 1,
        "unknown": 0,
    }
