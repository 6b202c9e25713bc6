"""The saga of an order, step by step. No I/O.

    ordered ─▶ reserved ─▶ paid ─▶ active ─▶ returning ─▶ returned
       └──────────┴─────────┴──▶ cancelling ─▶ cancelled

A step that is refused for certain begins the way back: the money first, then the account. A step that nobody knows the
end of is done again. An account that was bought stays active.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from uuid_utils.compat import uuid7

from api.kernel.errors import Conflict

_MONTH = timedelta(days=30)


class RentalState(StrEnum):
    """How far an order came."""

    ORDERED = "ordered"
    RESERVED = "reserved"
    PAID = "paid"
    ACTIVE = "active"
    RETURNING = "returning"
    RETURNED = "returned"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class NothingToGiveBack(Conflict):
    """Only what one has can be given back."""

    code = "nothing_to_give_back"

    def __init__(self, state: RentalState) -> None:
        super().__init__(f"This order is {state}; only an active one can be given back.")


@dataclass(frozen=True, kw_only=True)
class Rental:
    """One entry of the ledger."""

    id: UUID
    created_at: datetime
    offer_id: str
    channel: str
    title: str
    kind: str
    price_minor: int
    currency: str
    months: int | None
    #: Who it is for.
    user_id: UUID | None
    state: RentalState
    payment_id: str | None = None
    account_id: UUID | None = None
    failure: str | None = None
    handed_over_at: datetime | None = None
    ends_at: datetime | None = None
    handed_back_at: datetime | None = None
    next_attempt_at: datetime | None
    attempts: int = 0

    @property
    def total_minor(self) -> int:
        """What is paid at once."""
        return self.price_minor * (self.months or 1)


def order(now: datetime, **given: object) -> Rental:
    """Somebody wants it; the worker goes on."""
    return Rental(id=uuid7(), created_at=now, state=RentalState.ORDERED, next_attempt_at=now, **given)  # type: ignore[arg-type]  # fields of a body


def go_on(rental: Rental, state: RentalState, now: datetime, **more: object) -> Rental:
    """The next step, at once."""
    return replace(rental, state=state, next_attempt_at=now, attempts=0, **more)  # type: ignore[arg-type]  # fields of a rental


def cancel(rental: Rental, reason: str, now: datetime) -> Rental:
    """It cannot be had: all that was done is undone."""
    return go_on(rental, RentalState.CANCELLING, now, failure=reason)


def hand_over(rental: Rental, account_id: UUID, now: datetime) -> Rental:
    """It is theirs from now on; a rent has an end, at which the worker looks again."""
    ends_at = now + rental.months * _MONTH if rental.months else None
    after = go_on(rental, RentalState.ACTIVE, now, account_id=account_id, handed_over_at=now, ends_at=ends_at)
    return replace(after, next_attempt_at=ends_at)


def give_back(rental: Rental, now: datetime) -> Rental:
    """Its time is over, or they want it no longer.

    Raises:
        NothingToGiveBack: they do not have it.
    """
    if rental.state is not RentalState.ACTIVE:
        raise NothingToGiveBack(rental.state)
    return go_on(rental, RentalState.RETURNING, now)


def end(rental: Rental, now: datetime) -> Rental:
    """Nothing is left to do."""
    state = RentalState.RETURNED if rental.state is RentalState.RETURNING else RentalState.CANCELLED
    at = now if state is RentalState.RETURNED else None
    return replace(rental, state=state, next_attempt_at=None, handed_back_at=at)
