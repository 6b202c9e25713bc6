"""Types of fields that the bodies of several slices share: text that PostgreSQL can hold, money, currencies, instants.

A body that breaks one of these is a 422 before any statement runs. Rules of one slice stay in that slice.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

#: Beyond any real amount, and still exact in a double: other programs read our JSON.
_LARGEST_AMOUNT = 10**15


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _bounded(instant: datetime) -> datetime:
    if not 1900 <= instant.year < 2200:
        raise ValueError("must lie between the years 1900 and 2200")
    return instant.astimezone(UTC)


def _text_only(value: object) -> object:
    if value is not None and not isinstance(value, str | datetime):
        raise ValueError("must be an RFC 3339 text, for example 2026-05-01T09:30:00Z")
    return value


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_storable)]
#: Of things that people set up: teams, pipelines, stages.
ShortName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120), AfterValidator(_storable)
]
#: A value of a picklist, given and answered by its label.
Label = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120), AfterValidator(_storable)
]
ExternalId = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_storable)
]
ShortText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=320), AfterValidator(_storable)
]
PhoneNumber = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), AfterValidator(_storable)
]
CurrencyCode = Annotated[
    str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(description="ISO 4217 code.", examples=["EUR"])
]
CountryCode = Annotated[
    str, StringConstraints(pattern=r"^[A-Z]{2}$"), Field(description="ISO 3166-1 alpha-2 code.", examples=["DE"])
]
MinorAmount = Annotated[
    int,
    Field(
        strict=True,
        ge=-_LARGEST_AMOUNT,
        le=_LARGEST_AMOUNT,
        description="Amount in minor units of `currency` (cents for EUR).",
        examples=[1250000],
    ),
]
Count = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
#: An instant with its offset, answered in UTC.
Instant = Annotated[AwareDatetime, BeforeValidator(_text_only), AfterValidator(_bounded)]
#: Part of a name, in any case.
SearchText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_storable)
]
#: What people write down: a note, the text of a task. Never read as markup.
LongText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000), AfterValidator(_storable)
]
