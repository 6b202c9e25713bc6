"""Whoever has accounts to sell or to let: an interface, and one that speaks JSON over HTTP (`SLUICE_RENTAL_URL`).

Everything is said of a rental by its id, which the provider keeps: the same again answers the same.

    GET    /offers                          what there is: id, channel, title, kind, price_minor, currency
    PUT    /rentals/{id}    {"offer_id": …} keep it for us; answers channel, kind, price_minor and currency
    POST   /rentals/{id}/hand-over          answers address and secret
    DELETE /rentals/{id}                    give it back, whatever was done of it; from then on it refuses what else
                                            is asked of this id
"""

from types import TracebackType
from typing import Annotated, Literal, Protocol, Self, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError

from api.kernel.errors import Conflict
from contracts.channels import Channel
from contracts.settings import RentalSettings

T = TypeVar("T")

_SECONDS = 20.0
_LATER = (408, 425, 429)
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class RentalsOff(Conflict):
    """Nobody sells or lets accounts here."""

    code = "rentals_off"

    def __init__(self) -> None:
        super().__init__("Accounts can neither be bought nor rented here: SLUICE_RENTAL_URL is not set.")


class ProviderRefusedError(Exception):
    """It certainly did not do it, and will not: `reason` is a code."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ProviderUnavailableError(Exception):
    """Nobody knows whether it did it: the same again finds out."""


class Price(BaseModel):
    """What one costs that is reserved: once, or each month of a rent."""

    channel: Channel
    kind: Literal["purchase", "rent"] = Field(description="Rents are by the month.")
    price_minor: int = Field(ge=0)
    currency: Currency


class Offer(Price):
    """An account that one can have."""

    id: str = Field(min_length=1, max_length=200)
    title: str = Field(max_length=200)


class HandOver(BaseModel):
    """What it takes to sign in."""

    address: str = Field(min_length=1, max_length=320)
    secret: dict[str, str]


_OFFERS, _PRICE, _HAND_OVER = TypeAdapter(list[Offer]), TypeAdapter(Price), TypeAdapter(HandOver)


class Provider(Protocol):
    """Who sells or lets."""

    async def offers(self) -> list[Offer]:
        """What there is."""

    async def reserve(self, rental_id: UUID, offer_id: str) -> Price:
        """Keep it for us."""

    async def hand_over(self, rental_id: UUID) -> HandOver:
        """Let us have it."""

    async def give_back(self, rental_id: UUID) -> None:
        """Have it back, whatever was done of it, also nothing."""


class HttpProvider:
    """One that speaks JSON over HTTP.

    Raises:
        ProviderRefusedError, ProviderUnavailableError: each of its calls, as they say.
    """

    def __init__(self, settings: RentalSettings, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        if settings.rental_url is None:
            raise RentalsOff
        token = settings.rental_token.get_secret_value() if settings.rental_token else ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(
            base_url=settings.rental_url, headers=headers, timeout=_SECONDS, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def offers(self) -> list[Offer]:
        """What there is."""
        return _read(_OFFERS, await self._ask("GET", "/offers"))

    async def reserve(self, rental_id: UUID, offer_id: str) -> Price:
        """Keep it for us."""
        return _read(_PRICE, await self._ask("PUT", f"/rentals/{rental_id}", {"offer_id": offer_id}))

    async def hand_over(self, rental_id: UUID) -> HandOver:
        """Let us have it."""
        return _read(_HAND_OVER, await self._ask("POST", f"/rentals/{rental_id}/hand-over"))

    async def give_back(self, rental_id: UUID) -> None:
        """Have it back."""
        await self._ask("DELETE", f"/rentals/{rental_id}")

    async def _ask(self, method: str, path: str, body: object = None) -> bytes:
        try:
            answer = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ProviderUnavailableError(f"{type(error).__name__}: {error}") from error
        if answer.status_code >= 500 or answer.status_code in _LATER:
            raise ProviderUnavailableError(f"HTTP {answer.status_code}")
        if answer.status_code >= 400:
            raise ProviderRefusedError(f"http_{answer.status_code}")
        return answer.content


def _read(shape: TypeAdapter[T], raw: bytes) -> T:
    try:
        return shape.validate_json(raw)
    except ValidationError as error:
        raise ProviderUnavailableError(f"an answer that cannot be read: {error.error_count()} fields") from None
