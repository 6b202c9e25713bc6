"""Phone numbers: kept as E.164, read with the country of the organization, shown the way people write them abroad.

The country is that of the organization's time zone; where that has none (UTC), a number needs its country code.
Whether a number can be one is judged by its length alone: ranges are opened faster than libraries are told.
"""

import re
from functools import cache, lru_cache
from importlib.resources import files

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

#: With the country's code; no country has shorter ones.
_FEWEST_DIGITS = 7


#: What programs add that take a number for one to count with: its nought would be another digit.
_FLOAT = re.compile(r"(?<=[0-9])\.0$")


class BadPhoneError(ValueError):
    """A text that is no phone number."""


@cache
def _regions() -> dict[str, str]:
    lines = files("tzdata").joinpath("zoneinfo/zone.tab").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if line and not line.startswith("#"))
    return {zone: country for country, _, zone, *_ in rows}


def region_of(time_zone: str) -> str | None:
    """The country of a time zone, ISO 3166-1."""
    return _regions().get(time_zone)


@lru_cache(maxsize=65_536)
def e164(text: str, region: str | None) -> str:
    """A number as it is kept.

    Raises:
        BadPhoneError: it is none, or lacks what says of which country it is.
    """
    try:
        number = phonenumbers.parse(_FLOAT.sub("", text), region)
    except NumberParseException as error:
        if error.error_type == NumberParseException.INVALID_COUNTRY_CODE and not text.strip().startswith("+"):
            raise BadPhoneError("Write it with its country code, for example +49 30 1234567.") from error
        raise BadPhoneError("This is no phone number. Write it like +49 30 1234567.") from error
    found = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    is_long_enough = len(found) > _FEWEST_DIGITS
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE or not is_long_enough:
        raise BadPhoneError("No phone number is as long. Write it like +49 30 1234567.")
    return found


@lru_cache(maxsize=65_536)
def shown(number: str) -> str:
    """A kept number as people read it; what is none is shown as it is."""
    try:
        return phonenumbers.format_number(phonenumbers.parse(number, None), PhoneNumberFormat.INTERNATIONAL)
    except NumberParseException:
        return number
