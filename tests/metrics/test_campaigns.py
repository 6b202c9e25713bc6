"""What came of campaigns, counted by hand: from events through the marts that dbt builds to the answer."""

from collections.abc import Callable
from math import sqrt
from typing import Any
from uuid import UUID

import pytest
from scipy.stats import binomtest

from contracts.channels import Channel
from contracts.events.campaigns import (
    Ending,
    RecipientEnrolled,
    RecipientFinished,
    RecipientReplied,
    RecipientUnsubscribed,
    StepAssigned,
    StepFailed,
    StepSent,
)
from contracts.events.conversations import MessageRead
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.conftest import Asker
from tests.metrics.stories import Told

_PERIOD: dict[str, Any] = {"start": BEGINNING.date(), "end": (BEGINNING + days(30)).date()}


class _Campaign:
    def __init__(self, log: EventLog) -> None:
        self.log, self.id, self.owner = log, log.new_id(), log.user()
        self.contacts: dict[UUID, UUID] = {}
        self.messages: dict[UUID, UUID] = {}

    def enrol(self, day: float, *, deal: UUID | None = None) -> UUID:
        recipient, contact = self.log.new_id(), self.log.new_id()
        self.contacts[recipient] = contact
        event = RecipientEnrolled(
            campaign_id=self.id, contact_id=contact, company_id=None, deal_id=deal, owner_id=self.owner
        )
        self.log.add(event, recipient, at=BEGINNING + days(day))
        return recipient

    def touch(self, day: float, variant: str = "A", *, step: int = 1, **more: Any) -> tuple[UUID, UUID]:
        """A recipient (or the one given) whose turn comes; unless held out, it is sent an hour later."""
        recipient, touch = more.get("recipient") or self.enrol(day, deal=more.get("deal")), self.log.new_id()
        named: dict[str, Any] = {"campaign_id": self.id, "touch_id": touch, "step": step}
        assigned = StepAssigned(
            **named,
            contact_id=self.contacts[recipient],
            deal_id=more.get("deal"),
            owner_id=self.owner,
            channel=Channel.EMAIL,
            variant=variant,
            is_held_out=variant == "held_out",
        )
        self.log.add(assigned, recipient, at=BEGINNING + days(day))
        if variant != "held_out" and more.get("is_sent", True):
            message = self.messages[touch] = self.log.new_id()
            sent = StepSent(**named, message_id=message, task_id=None)
            self.log.add(sent, recipient, at=BEGINNING + days(day + 1 / 24))
        return recipient, touch

    def fail(self, recipient: UUID, touch: UUID, day: float, reason: str, *, is_unknown: bool = False) -> None:
        event = StepFailed(campaign_id=self.id, touch_id=touch, step=1, reason=reason, is_unknown=is_unknown)
        self.log.add(event, recipient, at=BEGINNING + days(day))

    def answer(self, recipient: UUID, touch: UUID, day: float) -> None:
        event = RecipientReplied(campaign_id=self.id, touch_id=touch, message_id=self.log.new_id())
        self.log.add(event, recipient, at=BEGINNING + days(day))

    def open(self, touch: UUID, day: float) -> None:
        event = MessageRead(conversation_id=self.log.new_id())
        self.log.add(event, self.messages[touch], at=BEGINNING + days(day))

    def leave(self, recipient: UUID, touch: UUID, day: float) -> None:
        event = RecipientUnsubscribed(campaign_id=self.id, touch_id=touch, how="one_click")
        self.log.add(event, recipient, at=BEGINNING + days(day))


def _tell(log: EventLog) -> tuple[UUID, UUID]:
    """A campaign of seven touches, and one that is an experiment."""
    pipeline = log.pipeline()
    deal = log.deal(pipeline, at=BEGINNING)
    small = _Campaign(log)
    first = small.touch(1, deal=deal.id)
    small.answer(*first, 3)
    log.move(deal, pipeline.stages[1], at=BEGINNING + days(4))
    back = small.touch(1.1)
    small.fail(*back, 2, "bounced")
    lost = small.touch(1.2, is_sent=False)
    small.fail(*lost, 2, "peer_flood")
    unsure = small.touch(1.3, is_sent=False)
    small.fail(*unsure, 2, "connection_lost", is_unknown=True)
    gone = small.touch(1.5, "B")
    small.leave(*gone, 2)
    quiet = small.touch(1.4, "B")
    second = small.touch(5, step=2, recipient=quiet[0])
    small.open(quiet[1], 1.6)
    small.open(second[1], 5.5)
    small.answer(quiet[0], second[1], 6)
    theirs = log.deal(pipeline, at=BEGINNING + days(7), contact_id=small.contacts[quiet[0]])
    log.move(theirs, pipeline.stages[1], at=BEGINNING + days(8))
    log.deal(pipeline, at=BEGINNING + days(0.5), contact_id=small.contacts[gone[0]])  # before anything was sent
    ended = small.enrol(1)
    log.add(RecipientFinished(campaign_id=small.id, ending=Ending.STOPPED), ended, at=BEGINNING + days(2))
    trial = _Campaign(log)
    # the example of Newcombe's paper (1998), table II: 56 of 70 against 48 of 80
    for variant, size, answers in (("A", 70, 56), ("held_out", 80, 48)):
        for number in range(size):
            drawn = trial.touch(2, variant)
            if number < answers:
                trial.answer(*drawn, 4)
    return small.id, trial.id


_STORY = Told(_tell)


@pytest.fixture
def asked(ask_built: Callable[[EventLog], Asker]) -> tuple[Asker, UUID, UUID]:
    """An asker, and both campaigns."""
    return ask_built(_STORY.log), *_STORY.by


def _entered(asker: Asker, group: str, **given: Any) -> dict[str, tuple[int, int]]:
    rows = asker.answer("campaign_funnel", **_PERIOD, **given).rows
    return {row["stage_id"]: (row["entered"], row["lost"]) for row in rows if row["group"] == group}


def test_touches_are_counted_stage_by_stage(asked: tuple[Asker, UUID, UUID]) -> None:
    asker, small, _ = asked
    assert _entered(asker, str(small), group_by="campaign") == {
        "assigned": (7, 1),  # the one that failed is lost from here
        "sent": (5, 1),  # and the one that came back from here
        "delivered": (4, 1),
        "replied": (3, 0),  # the answer to the second step counts for the first one too
        "moved": (1, 0),
        "bounced": (1, 0),
        "failed": (1, 0),
        "unsubscribed": (1, 0),
    }
    # before the bounce was known, that one had been delivered
    before = _entered(asker, str(small), group_by="campaign", as_of=(BEGINNING + days(1.9)).isoformat())
    assert (before["sent"], before["delivered"], before["bounced"]) == ((4, 0), (4, 0), (0, 0))


def test_by_step_and_by_variant(asked: tuple[Asker, UUID, UUID]) -> None:
    asker, small, _ = asked
    rows = asker.answer("campaign_funnel", **_PERIOD, group_by="arm").rows
    sent = {row["group"]: row["entered"] for row in rows if row["stage_id"] == "sent"}
    mine = {group.split("/", 1)[1]: count for group, count in sent.items() if group.startswith(str(small))}
    assert mine == {"1/A": 2, "1/B": 2, "2/A": 1}


def test_recipients_are_counted_over_all_steps_to_the_deal_that_they_got(asked: tuple[Asker, UUID, UUID]) -> None:
    asker, small, _ = asked

    def figures(**given: Any) -> dict[str, tuple[int, int, int]]:
        rows = asker.answer("campaign_recipients", **_PERIOD, group_by="campaign", **given).rows
        mine = [row for row in rows if row["group"] == str(small)]
        return {row["stage_id"]: (row["entered"], row["still_here"], row["lost"]) for row in mine}

    assert figures() == {
        "enrolled": (7, 1, 2),  # one of whom nobody knows; one that failed, and one that was stopped, are lost
        "sent": (4, 0, 1),  # the one that came back
        "delivered": (3, 0, 1),  # the one that wants no more
        "opened": (1, 0, 0),  # of two messages that one read, the first counts
        "replied": (2, 0, 0),
        "deal_created": (1, 0, 0),  # one from before the first sending does not count
        "moved": (2, 0, 0),
        "bounced": (1, 0, 0),
        "failed": (1, 0, 0),
        "unsubscribed": (1, 0, 0),
        "stopped": (1, 0, 0),
    }
    before = figures(as_of=(BEGINNING + days(1.9)).isoformat())
    assert [before[step][0] for step in ("enrolled", "sent", "delivered", "opened", "replied")] == [7, 4, 4, 1, 0]


class TestExperiment:
    def test_it_says_what_newcombe_says(self, asked: tuple[Asker, UUID, UUID]) -> None:
        asker, _, trial = asked
        rows = [one for one in asker.answer("campaign_experiment", **_PERIOD).rows if one["campaign_id"] == str(trial)]
        [found] = [one for one in rows if (one["variant"], one["stage_id"]) == ("A", "replied")]
        assert (found["entered"], found["cohort"], found["compared_with"]) == (56, 70, "held_out")
        assert found["difference"] == pytest.approx(0.2)
        # as printed in the paper, method 10
        assert (round(found["low"], 4), round(found["high"], 4)) == (0.0524, 0.3339)
        assert not found["is_chance"]
        [base] = [one for one in rows if (one["variant"], one["stage_id"]) == ("held_out", "replied")]
        assert (base["rate"], base["difference"], base["low"]) == (0.6, None, None)

    def test_it_equals_an_independent_computation(self, asked: tuple[Asker, UUID, UUID]) -> None:
        asker, small, _ = asked
        rows = asker.answer("campaign_experiment", **_PERIOD).rows
        compared = [one for one in rows if one["low"] is not None]
        assert {one["campaign_id"] for one in compared} >= {str(small)}
        for one in compared:
            other = next(
                row
                for row in rows
                if row["variant"] == one["compared_with"]
                and all(row[name] == one[name] for name in ("campaign_id", "step", "stage_id"))
            )
            low, high = _newcombe(one["entered"], one["cohort"], other["entered"], other["cohort"])
            assert (one["low"], one["high"]) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def _newcombe(part: int, whole: int, other: int, of: int) -> tuple[float, float]:
    """The interval from the two score intervals that SciPy computes."""
    (low, high), (low_2, high_2) = (
        binomtest(*one).proportion_ci(method="wilson") for one in ((part, whole), (other, of))
    )
    rate, rate_2 = part / whole, other / of
    below, above = sqrt((rate - low) ** 2 + (high_2 - rate_2) ** 2), sqrt((high - rate) ** 2 + (rate_2 - low_2) ** 2)
    return rate - rate_2 - below, rate - rate_2 + above
