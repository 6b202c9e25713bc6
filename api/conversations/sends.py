"""The states of a send. No I/O.

    queued ──claim──▶ sending ──▶ sent | failed | unknown           sending ──later──▶ queued
       ▲                                 │         │
       └───────────── retry, by a person ┴─────────┘                unknown ──confirm, by a person──▶ sent

A connector that dies leaves its sends `sending`. The next one asks the provider again where that is safe (Telegram
knows a message again by the id that we chose), and calls them `unknown` where it is not: nobody is written to twice.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from api.conversations.state import Send
from api.conversations.windows import Window
from api.kernel.errors import Conflict
from contracts.channels import Channel, SendSource, SendState

#: Channels whose providers take the same message twice without showing it twice.
SAFE_TO_REPEAT = frozenset({Channel.TELEGRAM})
#: Answers to somebody who wrote: they go out though an account should begin nothing new today.
ANSWERS = frozenset({SendSource.REPLY, SendSource.DRAFT})


class SendNotUnderWay(Conflict):
    """A result of a send that nobody is sending."""

    code = "send_not_under_way"

    def __init__(self, state: SendState) -> None:
        super().__init__(f"This send is {state}.")


class NothingToRetry(Conflict):
    """Only what failed or is unknown can be tried again, confirmed or given up."""

    code = "nothing_to_retry"

    def __init__(self, state: str) -> None:
        super().__init__(f"This message is {state}; only what failed or is unknown can be decided about.")


def claim(send: Send, *, epoch: int, now: datetime) -> Send:
    """A connector gives it to the provider now."""
    return replace(send, state=SendState.SENDING, epoch=epoch, claimed_at=now, attempts=send.attempts + 1)


def refuse(send: Send, reason: str, now: datetime) -> Send:
    """It must not be sent at all."""
    return replace(send, state=SendState.FAILED, failure=reason, finished_at=now)


def postponed_by_hours(send: Send, now: datetime) -> Send | None:
    """The send as it waits for hours in which it may go; None where it may go now."""
    if send.hours is None or (window := Window.of(send.hours)).is_open(now):
        return None
    return replace(send, not_before=window.turn_of(send.id, now) or now + timedelta(days=1))


def orphan(send: Send, channel: Channel, now: datetime) -> Send:
    """Its connector is gone: asked again where that is safe, unknown elsewhere."""
    if channel in SAFE_TO_REPEAT:
        return replace(send, state=SendState.QUEUED, not_before=now)
    return replace(send, state=SendState.UNKNOWN, failure="connector_lost", finished_at=now)


def finish(send: Send, state: SendState, *, reason: str | None, epoch: int, now: datetime) -> Send | None:
    """What the provider said; None where it is known.

    Also a connector that lost its account tells of what it sent before: a fact is a fact.

    Raises:
        SendNotUnderWay: nobody has it, or somebody else.
    """
    if send.state is state:
        return None
    is_late = send.state is SendState.UNKNOWN and state is SendState.SENT
    if not (send.state is SendState.SENDING and send.epoch == epoch) and not is_late:
        raise SendNotUnderWay(send.state)
    return replace(send, state=state, failure=None if state is SendState.SENT else reason, finished_at=now)


def postpone(send: Send, *, seconds: int, epoch: int, now: datetime) -> Send:
    """The provider did not take it yet, which is certain: it waits again.

    Raises:
        SendNotUnderWay: nobody has it, or somebody else.
    """
    if send.state is not SendState.SENDING or send.epoch != epoch:
        raise SendNotUnderWay(send.state)
    return replace(send, state=SendState.QUEUED, not_before=now + timedelta(seconds=seconds))


def seen(send: Send, now: datetime) -> Send | None:
    """The message was found at the provider; None where it was known to be sent."""
    return None if send.state is SendState.SENT else replace(send, state=SendState.SENT, failure=None, finished_at=now)


def retry(send: Send, now: datetime) -> Send:
    """Somebody wants it sent again.

    Raises:
        NothingToRetry: it neither failed nor is unknown.
    """
    _expect_open(send)
    return replace(send, state=SendState.QUEUED, failure=None, finished_at=None, not_before=now)


def confirm(send: Send, now: datetime, *, is_by_hand: bool) -> Send:
    """Somebody says that it was sent; `is_by_hand`: they sent it themselves, as LinkedIn wants it.

    Raises:
        NothingToRetry: it neither failed nor is unknown.
    """
    if not (is_by_hand and send.state is SendState.QUEUED):
        _expect_open(send)
    return replace(send, state=SendState.SENT, failure=None, finished_at=now, claimed_at=send.claimed_at or now)


def _expect_open(send: Send) -> None:
    if send.state not in (SendState.FAILED, SendState.UNKNOWN):
        raise NothingToRetry(send.state)
