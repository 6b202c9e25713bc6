"""Types of fields that the bodies of several slices share: text that PostgreSQL can hold, money, currencies, instants.

A body that breaks one of these is a 422 before any statement runs. Rules of one slice stay in that slice.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field, Strict, StringConstraints

from contracts.countries import COUNTRIES
from contracts.instants import FIRST_YEAR, LAST_YEAR
from contracts.money import LARGEST_AMOUNT_MINOR, MINOR_DIGITS

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-5][0-9]([.][0-9]+)?)?([Zz]|[+-][0-9:]{4,6})?"
)


def body_like(example: Any) -> ConfigDict:  # noqa: ANN401 # JSON
    """The configuration of a body that takes its own fields alone, with an example for the reference."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


def storable(text: str) -> str:
    """A text that PostgreSQL can hold."""
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _bounded(instant: datetime) -> datetime:
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise ValueError(f"must lie between the years {FIRST_YEAR} and {LAST_YEAR}")
    return instant.astimezone(UTC)


def _in_use(code: str) -> str:
    if code not in MINOR_DIGITS:
        raise ValueError("must be the ISO 4217 code of a currency in use")
    return code


def _assigned(code: str) -> str:
    if code not in COUNTRIES:
        raise ValueError("must be the ISO 3166-1 code of a country, such as DE or GB")
    return code


def _text_only(value: object) -> object:
    is_text = isinstance(value, str) and _RFC_3339.fullmatch(value) is not None
    if value is not None and not is_text and not isinstance(value, datetime):
        raise ValueError("must be an RFC 3339 text, for example 2026-05-01T09:30:00Z")
    return value


def _day_only(value: object) -> object:
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.fullmatch(value)):
        raise ValueError("must be a day, for example 2026-05-01")
    return value


def _number_only(value: object) -> object:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("must be a number")  # 1 is neither true nor "1"
    return value


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable)]
#: Of things that people set up: teams, pipelines, stages.
ShortName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120), AfterValidator(storable)
]
#: A value of a picklist, given and answered by its label.
Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120), AfterValidator(storable)]
ExternalId = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable)
]
ShortText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=320), AfterValidator(storable)
]
PhoneNumber = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), AfterValidator(storable)
]
CurrencyCode = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z]{3}$"),
    AfterValidator(_in_use),
    Field(description="ISO 4217 code.", examples=["EUR"]),
]
#: A day of the calendar, as text: a number would be one since 1970.
Date = Annotated[date, BeforeValidator(_day_only), Field(ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31))]
#: One that figures can speak of.
Day = Annotated[date, BeforeValidator(_day_only), Field(ge=date(1970, 1, 1), le=date(2200, 1, 1))]
#: What JSON calls a number or a boolean, and nothing that could be read as one: no "5", no true for 1, no 0 for false.
NUMBER_ONLY = BeforeValidator(_number_only)
Whole = Annotated[int, NUMBER_ONLY]
Real = Annotated[float, NUMBER_ONLY]
Flag = Annotated[bool, Strict()]
CountryCode = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z]{2}$"),
    AfterValidator(_assigned),
    Field(description="ISO 3166-1 alpha-2 code.", examples=["DE"]),
]
MinorAmount = Annotated[
    int,
    Field(
        strict=True,
        ge=-LARGEST_AMOUNT_MINOR,
        le=LARGEST_AMOUNT_MINOR,
        description="Amount in minor units of `currency` (cents for EUR).",
        examples=[1250000],
    ),
]
Count = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
#: An instant with its offset, answered in UTC.
Instant = Annotated[AwareDatetime, BeforeValidator(_text_only), AfterValidator(_bounded)]
#: Part of a name, in any case.
SearchText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable)
]
#: What people write down: a note, the text of a task. Never read as markup.
LongText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000), AfterValidator(storable)
]
#: Values of custom fields, for the kernel to judge.
CustomValues = Annotated[
    dict[str, Any],
    Field(
        max_length=100,
        description="Values of custom fields by the fields' ids (`/v1/custom-fields`); `null` empties one, those left"
        " out stay.",
    ),
]
