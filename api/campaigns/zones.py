"""Where people may be: the zones of their phone number, else the organization's. Pure."""

from functools import lru_cache

import phonenumbers
from phonenumbers import timezone

from api.campaigns.document import Hours
from api.conversations.windows import Window, without_common_hours

_UNKNOWN = timezone.UNKNOWN_TIMEZONE


@lru_cache(maxsize=4_096)
def zones_of(phone: str | None, own: str) -> tuple[str, ...]:
    """All zones in which whoever has this number may be; the organization's where nothing is known."""
    try:
        found = timezone.time_zones_for_number(phonenumbers.parse(phone or "", None))
    except phonenumbers.NumberParseException:
        return (own,)
    known = tuple(zone for zone in found if zone != _UNKNOWN)
    return known or (own,)


def window_of(hours: Hours, zones: tuple[str, ...], own: str) -> Window:
    """The hours for somebody; where people of their zones are never awake at once, the organization's decide."""
    opens, closes = _minutes(hours.opens), _minutes(hours.closes)
    window = Window(zones, opens, closes, frozenset(hours.days))
    return Window((own,), opens, closes, window.days) if _never_open(zones, opens, closes) else window


@lru_cache(maxsize=4_096)
def _never_open(zones: tuple[str, ...], opens: int, closes: int) -> bool:
    return len(zones) > 1 and without_common_hours(zones, opens, closes)


def _minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)
