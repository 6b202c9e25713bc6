"""The saga of an order, step by step. No I/O.

    ordered ─▶ reserved ─▶ paid ─▶ active ─▶ returning ─▶ returned
       └──────────┴─────────┴──▶ cancelling ─▶ cancelled

A step that is refused for certain begins the way back: the money first, then the account. A step that nobody knows the
end of is done again. An account that was bought stays active; a rent that is active goes on for as long as it is paid.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from uuid_utils.compat import uuid7

from api.kernel.changes import Change, Versioned, revised
from api.kernel.errors import Conflict
from contracts.channels import Channel
from contracts.events.rentals import (
    RentalCancelled,
    RentalHandedBack,
    RentalHandedOver,
    RentalOrdered,
    RentalRenewed,
)

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


class NothingToRenew(Conflict):
    """Only a rent that goes on can go on for longer."""

    code = "nothing_to_renew"


class RenewalUnderWay(Conflict):
    """More months are being paid."""

    code, detail = "renewal_under_way", "More months of this rent are being paid. Try again in a moment."


@dataclass(frozen=True, kw_only=True)
class Rental(Versioned):
    """One entry of the ledger."""

    offer_id: str
    channel: Channel
    title: str
    kind: Literal["purchase", "rent"]
    price_minor: int
    currency: str
    months: int | None
    renewing_months: int | None = None
    #: How often more months were asked for: each is a payment of its own, also after one that was declined.
    renewals: int = 0
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

    @property
    def facts(self) -> dict[str, Any]:
        """What each of its events says."""
        names = ("channel", "kind", "price_minor", "currency", "months", "user_id", "account_id")
        return {name: getattr(self, name) for name in names}


def order(now: datetime, **given: Any) -> Change[Rental]:  # noqa: ANN401 # fields of a body
    """Somebody wants it; the worker goes on."""
    made = Rental(
        id=uuid7(),
        version=1,
        created_at=now,
        updated_at=now,
        state=RentalState.ORDERED,
        next_attempt_at=now,
        **given,
    )
    return Change(None, made, RentalOrdered(**made.facts))


def go_on(rental: Rental, state: RentalState, now: datetime, **more: Any) -> Change[Rental]:  # noqa: ANN401 # fields of a rental
    """The next step, at once."""
    return Change(rental, replace(rental, state=state, next_attempt_at=now, attempts=0, updated_at=now, **more))


def cancel(rental: Rental, reason: str, now: datetime) -> Change[Rental]:
    """It cannot be had: all that was done is undone."""
    return go_on(rental, RentalState.CANCELLING, now, failure=reason)


def hand_over(rental: Rental, account_id: UUID, now: datetime) -> Change[Rental]:
    """It is theirs from now on; a rent has an end, at which the worker looks again."""
    ends_at = now + rental.months * _MONTH if rental.months else None
    after = revised(
        rental,
        now,
        state=RentalState.ACTIVE,
        account_id=account_id,
        handed_over_at=now,
        ends_at=ends_at,
        next_attempt_at=ends_at,
        attempts=0,
    )
    return Change(rental, after, RentalHandedOver(**after.facts, paid_minor=rental.total_minor, ends_at=ends_at))


def ask_to_renew(rental: Rental, months: int, now: datetime) -> Change[Rental]:
    """Somebody wants it for longer; the worker has it paid.

    Raises:
        NothingToRenew, RenewalUnderWay: as they say.
    """
    if rental.state is not RentalState.ACTIVE or rental.ends_at is None or rental.ends_at <= now:
        raise NothingToRenew(f"This order is a {rental.kind} that is {rental.state}; only an active rent goes on.")
    if rental.renewing_months is not None:
        raise RenewalUnderWay
    return go_on(rental, rental.state, now, renewing_months=months, renewals=rental.renewals + 1, failure=None)


def renew(rental: Rental, now: datetime) -> Change[Rental]:
    """The months on top are paid; the rent ends so much later."""
    months, ends_at = rental.renewing_months or 0, rental.ends_at or now
    ends_at += months * _MONTH
    after = revised(
        rental,
        now,
        months=(rental.months or 0) + months,
        renewing_months=None,
        ends_at=ends_at,
        next_attempt_at=ends_at,
        attempts=0,
    )
    paid = rental.price_minor * months
    return Change(rental, after, RentalRenewed(**after.facts, paid_minor=paid, ends_at=ends_at))


def refuse_to_renew(rental: Rental, reason: str) -> Change[Rental]:
    """The months on top are not paid; the rent ends when it would have."""
    after = replace(rental, renewing_months=None, failure=reason, next_attempt_at=rental.ends_at, attempts=0)
    return Change(rental, after)


def give_back(rental: Rental, now: datetime) -> Change[Rental]:
    """Its time is over, or they want it no longer.

    Raises:
        NothingToGiveBack, RenewalUnderWay: as they say.
    """
    if rental.state is not RentalState.ACTIVE:
        raise NothingToGiveBack(rental.state)
    if rental.renewing_months is not None:
        raise RenewalUnderWay
    return go_on(rental, RentalState.RETURNING, now)


def end(rental: Rental, now: datetime) -> Change[Rental]:
    """Nothing is left to do."""
    if rental.state is RentalState.RETURNING:
        after = revised(rental, now, state=RentalState.RETURNED, next_attempt_at=None, handed_back_at=now)
        return Change(rental, after, RentalHandedBack(**after.facts))
    after = revised(rental, now, state=RentalState.CANCELLED, next_attempt_at=None)
    return Change(rental, after, RentalCancelled(**after.facts, reason=rental.failure or "refused"))
