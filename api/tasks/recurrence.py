"""When a task comes again: a rule of RFC 5545 in the organization's zone, so that nine o'clock stays so. Pure."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from api.kernel.errors import Unprocessable

#: Parts of a rule that each frequency takes. Others would let a rule search for ever for a day that never comes.
_PARTS = {
    "DAILY": {"BYDAY"},
    "WEEKLY": {"BYDAY", "WKST"},
    "MONTHLY": {"BYDAY", "BYMONTHDAY", "BYSETPOS", "BYMONTH"},
    "YEARLY": {"BYDAY", "BYMONTHDAY", "BYSETPOS", "BYMONTH"},
}
_ANY = {"FREQ", "INTERVAL", "COUNT", "UNTIL"}
_RULE = re.compile(r"[A-Z]+=[A-Z0-9,+-]+(;[A-Z]+=[A-Z0-9,+-]+)*")


class BadRecurrence(Unprocessable):
    """The recurrence is no rule that tasks can follow."""

    code, pointer = "bad_recurrence", "/recurrence"


def checked(rule: str, start: datetime, zone: ZoneInfo) -> str:
    """A rule as it is stored, if a task that begins with `start` can follow it.

    Raises:
        BadRecurrence: says what is wrong.
    """
    text = rule.strip().upper().removeprefix("RRULE:")
    if not _RULE.fullmatch(text):
        raise BadRecurrence("Give a rule of RFC 5545, for example FREQ=WEEKLY;BYDAY=MO.")
    parts = dict(part.split("=") for part in text.split(";"))
    frequency = parts.get("FREQ", "")
    if frequency not in _PARTS:
        raise BadRecurrence(f"FREQ must be one of {', '.join(_PARTS)}.")
    if unknown := parts.keys() - _PARTS[frequency] - _ANY:
        raise BadRecurrence(f"A {frequency} rule takes no {', '.join(sorted(unknown))}.")
    if any(not 1 <= int(parts[name]) <= 999 for name in ("INTERVAL", "COUNT") if parts.get(name, "").isdigit()):
        raise BadRecurrence("INTERVAL and COUNT lie between 1 and 999.")
    _rule(text, start, zone)
    return text


def following(rule: str, start: datetime, due_at: datetime, zone: ZoneInfo) -> datetime | None:
    """The next due date of a series that began with `start`; None where it has ended."""
    found: datetime | None = _rule(rule, start, zone).after(due_at.astimezone(zone))
    return found.astimezone(UTC) if found is not None else None


def _rule(text: str, start: datetime, zone: ZoneInfo) -> rrule:
    try:
        found = rrulestr(text, dtstart=start.astimezone(zone))
    except (ValueError, TypeError) as error:
        raise BadRecurrence(f"This rule cannot be followed: {error}.") from error
    if not isinstance(found, rrule):
        raise BadRecurrence("Give one rule.")
    return found
