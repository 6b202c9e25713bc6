"""Brings orders on, a step at a time. Nothing is held while others answer; who dies leaves it to the next.

A step is another worker's when its minute is over, so it is broken off before. Whoever stood still for longer, and
comes back with an answer, writes nothing of it: the row names another instant by then. What they asked of others
meanwhile was asked by the order's id, by which it is done once, or refused as undone.
"""

import asyncio
import json
import logging
import threading
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from api.bd_accounts import records as accounts
from api.bd_accounts import rules as account_rules
from api.billing.payments import Payment, PaymentDeclined, Payments
from api.billing.provider import RefusedByStripe
from api.edge.consumer import acting_in
from api.edge.entitlements import Limit, PlanLimitReached, require_room
from api.kernel.changes import Change
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.errors import CrmError
from api.kernel.secrets import Secrets
from api.kernel.unit_of_work import UnitOfWork
from api.rentals import records, rules
from api.rentals.provider import (
    HandOver,
    HttpProvider,
    Provider,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from api.rentals.rules import Rental, RentalState
from contracts.channels import AccountState
from contracts.events.envelope import ActorKind
from contracts.settings import BillingSettings, RentalSettings, SecretSettings

_log = logging.getLogger(__name__)

#: What the worker waits for a hint of.
WORK = "rentals"
_LOOK_SECONDS, _RETRY_SECONDS = 5.0, 2.0
#: Below the minute that `records.TAKE` gives.
_STEP_SECONDS = 45.0
_DAILY_LIMIT = 50


class Charging(Protocol):
    """Who takes the money: `api.billing.payments`."""

    async def charge(self, organization_id: UUID, *, key: str, amount_minor: int, currency: str, what: str) -> Payment:
        """Have the organization pay."""

    async def refund(self, organization_id: UUID, payment_id: str | None, *, key: str) -> None:
        """Give it back."""


async def run(database: Database, stop: threading.Event) -> None:
    """Work until `stop` is set; nothing where nobody sells or lets."""
    settings = RentalSettings()
    bell = database.hints.bell(WORK)
    if settings.rental_url is None:
        while not stop.is_set():
            await bell.wait(_LOOK_SECONDS, stop)
        return
    async with HttpProvider(settings) as provider:
        billing = BillingSettings()
        saga = Saga(database, provider, Payments(database, billing), Secrets.of(SecretSettings()), billing)
        while not stop.is_set():
            try:
                while not stop.is_set() and await saga.step():
                    pass
            except psycopg.Error as error:
                _log.warning("orders of accounts wait: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            await bell.wait(_LOOK_SECONDS, stop)


@dataclass(frozen=True)
class Saga:
    """What takes a step of an order."""

    database: Database
    provider: Provider
    payments: Charging
    secrets: Secrets
    billing: BillingSettings

    async def step(self) -> bool:
        """Take the next step of whichever order waits longest; whether one did."""
        async with self.database.unit(None) as unit:
            taken = await unit.fetch(records.TAKE)
        for row in taken:
            try:
                async with asyncio.timeout(_STEP_SECONDS):
                    await self._step(row.organization_id, row.id, row.taken_until)
            except (ProviderUnavailableError, CrmError, TimeoutError) as error:  # one order's trouble is no other's
                _log.warning("order %s waits: %s", row.id, error or "no answer in time")
        return bool(taken)

    async def _step(self, organization_id: UUID, rental_id: UUID, taken_until: datetime) -> None:
        async with self._acting(organization_id) as unit:
            rental = await records.find_rental(unit, rental_id)
        if rental.next_attempt_at != taken_until:
            raise ProviderUnavailableError("somebody else took this step")
        try:
            match rental.state:
                case RentalState.ORDERED:
                    await self._reserve(organization_id, rental)
                case RentalState.RESERVED:
                    await self._charge(organization_id, rental)
                case RentalState.PAID:
                    await self._hand_over(organization_id, rental)
                case RentalState.ACTIVE if rental.renewing_months is not None:
                    await self._renew(organization_id, rental)
                case RentalState.ACTIVE:
                    await self._take_back(organization_id, rental)
                case RentalState.RETURNING | RentalState.CANCELLING:
                    await self._undo(organization_id, rental)
        except ProviderRefusedError as refused:
            if rental.state in (RentalState.RETURNING, RentalState.CANCELLING):
                raise ProviderUnavailableError(f"{rental.state}: {refused}") from refused  # it must be undone
            await self._cancel(organization_id, rental, refused.reason)

    async def _reserve(self, organization_id: UUID, rental: Rental) -> None:
        price = await self.provider.reserve(rental.id, rental.offer_id)
        if (price.channel, price.kind) != (rental.channel, rental.kind):
            raise ProviderRefusedError("another_offer")
        if (price.price_minor, price.currency) != (rental.price_minor, rental.currency):
            raise ProviderRefusedError("price_changed")
        async with self._acting(organization_id) as unit:
            await self._move(unit, rules.go_on(rental, RentalState.RESERVED, unit.now))

    async def _charge(self, organization_id: UUID, rental: Rental) -> None:
        try:
            payment = await self.payments.charge(
                organization_id,
                key=f"rental:{rental.id}",
                amount_minor=rental.total_minor,
                currency=rental.currency,
                what=rental.title,
            )
        except (PaymentDeclined, RefusedByStripe) as declined:
            await self._cancel(organization_id, rental, declined.code)
            return
        async with self._acting(organization_id) as unit:
            paid = rules.go_on(rental, RentalState.PAID, unit.now, payment_id=payment.payment_id)
            await self._move(unit, paid)

    async def _renew(self, organization_id: UUID, rental: Rental) -> None:
        """Have the months on top paid, each renewal once; the price is the one that it was let for."""
        refused: Change[Rental] | None = None
        try:
            await self.payments.charge(
                organization_id,
                key=f"rental:{rental.id}:{rental.renewals}",
                amount_minor=rental.price_minor * (rental.renewing_months or 0),
                currency=rental.currency,
                what=rental.title,
            )
        except (PaymentDeclined, RefusedByStripe) as declined:
            refused = rules.refuse_to_renew(rental, declined.code)
        async with self._acting(organization_id) as unit:
            await self._move(unit, refused or rules.renew(rental, unit.now))

    async def _hand_over(self, organization_id: UUID, rental: Rental) -> None:
        given = await self.provider.hand_over(rental.id)
        try:
            async with self._acting(organization_id) as unit:
                await require_room(unit, self.billing, Limit.BD_ACCOUNTS)
                account_id = self._make_account(unit, rental, given)
                await self._move(unit, rules.hand_over(rental, account_id, unit.now))
        except (account_rules.AddressTaken, PlanLimitReached) as refused:
            await self._cancel(organization_id, rental, refused.code)

    def _make_account(self, unit: UnitOfWork, rental: Rental, given: HandOver) -> UUID:
        """The account, connecting, with what it takes to sign in."""
        changes = account_rules.create(
            unit.now,
            channel=rental.channel,
            name=rental.title,
            address=given.address,
            user_id=rental.user_id,
            team_id=None,
            daily_limit=_DAILY_LIMIT,
            settings={},
        )
        accounts.write_changes(unit, changes)
        made = [change.after for change in changes if isinstance(change.after, account_rules.Account)][-1]
        accounts.write_changes(unit, account_rules.purchased(made, unit.now, rental_id=rental.id, kind=rental.kind))
        purpose = accounts.purpose_of(made.id)
        sealed = self.secrets.seal(unit.context.organization_id, purpose, json.dumps(given.secret))
        accounts.keep_secret(unit, made.id, sealed)
        return made.id

    async def _take_back(self, organization_id: UUID, rental: Rental) -> None:
        """A rent is over: nobody connects it any more before it is given back."""
        async with self._acting(organization_id) as unit:
            await self._expect(unit, rental)
            await give_back(unit, rental.id)

    async def _undo(self, organization_id: UUID, rental: Rental) -> None:
        if rental.state is RentalState.CANCELLING:
            await self.payments.refund(organization_id, rental.payment_id, key=f"rental:{rental.id}")
        await self.provider.give_back(rental.id)
        async with self._acting(organization_id) as unit:
            await self._move(unit, rules.end(rental, unit.now))

    async def _cancel(self, organization_id: UUID, rental: Rental, reason: str) -> None:
        async with self._acting(organization_id) as unit:
            await self._move(unit, rules.cancel(rental, reason, unit.now))

    async def _move(self, unit: UnitOfWork, change: Change[Rental]) -> None:
        """Queue a step, unless it is somebody else's by now."""
        await self._expect(unit, change.before)
        records.write_changes(unit, change)

    async def _expect(self, unit: UnitOfWork, known: Rental | None) -> None:
        if known is None or await records.lock_rental(unit, known.id) != known:
            raise ProviderUnavailableError("somebody else took this step")

    def _acting(self, organization_id: UUID) -> AbstractAsyncContextManager[UnitOfWork]:
        context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
        return acting_in(self.database, context)


async def give_back(unit: UnitOfWork, rental_id: UUID) -> Rental:
    """Have an account connected no more, and its secret forgotten; the worker tells the provider then.

    Raises:
        NotFound, NothingToGiveBack, RenewalUnderWay: as they say.
    """
    rental = await records.lock_rental(unit, rental_id)
    change = rules.give_back(rental, unit.now)
    if rental.account_id is not None:
        account, _ = await accounts.lock_account(unit, rental.account_id)
        accounts.write_changes(
            unit, account_rules.report(account, AccountState.REVOKED, unit.now, reason="handed_back")
        )
        accounts.keep_secret(unit, account.id, None)
    records.write_changes(unit, change)
    return change.after
