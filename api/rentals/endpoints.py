"""`/v1/rentals`: accounts of the operator's to buy or to rent, and the ledger of those that one had."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.edge.dependencies import Administrator, CurrentCaller, Unit
from api.edge.entitlements import Limit, PlanLimitReached, require_room
from api.edge.fields import Whole
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import OutsideRoute, problems, slice_router
from api.identity.callers import TheServices
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, Unavailable
from api.kernel.hints import hint
from api.rentals import records, rules
from api.rentals.provider import (
    Currency,
    HttpProvider,
    Offer,
    ProviderRefusedError,
    ProviderUnavailableError,
    RentalsOff,
)
from api.rentals.rules import RentalState
from api.rentals.worker import WORK, give_back
from contracts.channels import Channel
from contracts.settings import RentalSettings

offers = slice_router(prefix="/rental-offers", tags=["rentals"], route_class=OutsideRoute)
router = slice_router(prefix="/rentals", tags=["rentals"])
routers = [offers, router]


async def _settings() -> RentalSettings:
    return RentalSettings()


Settings = Annotated[RentalSettings, Depends(_settings)]


class ProviderUnavailable(Unavailable):
    """Whoever sells and lets accounts does not answer."""

    code = "rental_provider_unavailable"


class RentalOrder(BaseModel):
    """An offer as you saw it: at another price it is not taken."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "offer_id": "tg-17",
                    "channel": "telegram",
                    "title": "Aged account, Germany",
                    "kind": "rent",
                    "price_minor": 2500,
                    "currency": "EUR",
                    "months": 3,
                }
            ]
        },
    )

    offer_id: str = Field(min_length=1, max_length=200)
    channel: Channel
    title: str = Field(min_length=1, max_length=200)
    kind: Literal["purchase", "rent"]
    price_minor: Whole = Field(ge=0, le=10**12, description="Of a rent, each month.")
    currency: Currency
    months: Whole | None = Field(default=None, ge=1, le=36, description="How long a rent lasts; paid at once.")
    user_id: UUID | None = Field(default=None, description="Who works with it.")

    @model_validator(mode="after")
    def _has_months(self) -> "RentalOrder":
        if (self.kind == "rent") != (self.months is not None):
            raise ValueError("a rent needs months, a purchase has none")
        return self


class RentalRenewal(BaseModel):
    """For how much longer."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"months": 3}]})

    months: Whole = Field(ge=1, le=36)


class RentalRead(BaseModel):
    """An entry of the ledger."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    offer_id: str
    channel: Channel
    title: str
    kind: str
    price_minor: int
    currency: str
    months: int | None
    renewing_months: int | None = Field(description="Months on top that are being paid.")
    user_id: UUID | None
    state: RentalState
    account_id: UUID | None
    failure: str | None = Field(
        description="Why it was cancelled, and what was paid is given back; of an active one, why it was not renewed."
    )
    created_at: datetime
    handed_over_at: datetime | None
    ends_at: datetime | None
    handed_back_at: datetime | None


class RentalOffers(BaseModel):
    """What there is."""

    offers: list[Offer]


@offers.get("", responses=problems(RentalsOff, ProviderUnavailable))
async def list_rental_offers(caller: CurrentCaller, settings: Settings) -> RentalOffers:
    """List accounts that can be bought or rented."""
    async with HttpProvider(settings) as provider:
        try:
            return RentalOffers(offers=await provider.offers())
        except (ProviderUnavailableError, ProviderRefusedError) as error:
            raise ProviderUnavailable(f"Whoever sells and lets accounts does not answer: {error}") from error


@router.get("")
async def list_rentals(
    caller: CurrentCaller, unit: Unit, page: Page, state: RentalState | None = None, user_id: UUID | None = None
) -> PageOf[RentalRead]:
    """List what was ordered, newest first."""
    rows, cursor = await read_page(unit, records.RENTALS, {"state": state, "user_id": user_id}, page=page)
    return PageOf(items=[RentalRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/{rental_id}", responses=problems(NotFound))
async def read_rental(rental_id: UUID, caller: CurrentCaller, unit: Unit) -> RentalRead:
    """Read an order."""
    return RentalRead.model_validate(await records.find_rental(unit, rental_id))


@router.post("", status_code=201, responses=problems(RentalsOff, UnknownReference, PlanLimitReached))
async def order_rental(
    body: RentalOrder,
    caller: Administrator,
    unit: Unit,
    settings: Settings,
    services: TheServices,
    response: Response,
) -> RentalRead:
    """Order an account: it is reserved, paid and handed over within a moment, or all of that undone and paid back."""
    if settings.rental_url is None:
        raise RentalsOff
    await unit.begin()
    await require_room(unit, services.billing, Limit.BD_ACCOUNTS)
    ordered = rules.order(unit.now, **body.model_dump())
    records.write_changes(unit, ordered)
    hint(unit, WORK)
    response.headers["Location"] = f"/v1/rentals/{ordered.after.id}"
    return RentalRead.model_validate(ordered.after)


@router.post(
    "/{rental_id}/renew",
    responses=problems(NotFound, RentalsOff, rules.NothingToRenew, rules.RenewalUnderWay),
)
async def renew_rental(
    rental_id: UUID, body: RentalRenewal, caller: Administrator, unit: Unit, settings: Settings
) -> RentalRead:
    """Have a rent go on for more months, at its price. They are paid within a moment; `failure` says why not."""
    if settings.rental_url is None:
        raise RentalsOff
    change = rules.ask_to_renew(await records.lock_rental(unit, rental_id), body.months, unit.now)
    records.write_changes(unit, change)
    hint(unit, WORK)
    return RentalRead.model_validate(change.after)


@router.post("/{rental_id}/hand-back", responses=problems(NotFound, rules.NothingToGiveBack, rules.RenewalUnderWay))
async def hand_back_rental(rental_id: UUID, caller: Administrator, unit: Unit) -> RentalRead:
    """Give an account back before its time is over. Nobody connects it from now on; nothing is paid back."""
    after = await give_back(unit, rental_id)
    hint(unit, WORK)
    return RentalRead.model_validate(after)
