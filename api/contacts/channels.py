"""Where a contact is reached: any number of e-mail addresses and phone numbers, one of each the primary, and handles.

The fields `email` and `phone` are the primary ones. A body gives those, or whole lists, which replace what was there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from uuid_utils.compat import uuid7

from api.db.statements import Bound, compiled
from api.kernel import phones
from api.kernel.errors import Unprocessable
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.contact import Contact
from api.models.contact_channel import ContactChannel
from api.models.organization import Organization

#: The field of a body that lists channels of a kind -> that kind, and the field of the primary one.
LISTS: Mapping[str, tuple[str, str | None]] = {
    "emails": ("email", "email"),
    "phones": ("phone", "phone"),
    "handles": ("handle", None),
}
_TIME_ZONE = compiled(
    select(Organization.time_zone).where(Organization.organization_id == bindparam("organization_id"))
)
_FORGET = compiled(
    text(
        "delete from contact_channels where organization_id = :organization_id and contact_id = :contact_id"
        " and kind = any(cast(:kinds as text[]))"
    )
)


class BadPhone(Unprocessable):
    """A phone number cannot be read as one."""

    code = "bad_phone"


class BadChannels(Unprocessable):
    """A list of addresses contradicts itself."""

    code = "bad_channels"


def listed(kind: str) -> ScalarSelect[Any]:
    """A contact's channels of a kind as JSON, the primary one first."""
    columns = ("type", ContactChannel.type), ("value", ContactChannel.value), ("is_primary", ContactChannel.is_primary)
    one = func.jsonb_build_object(*(part for name, column in columns for part in (text(f"'{name}'"), column)))
    order = (ContactChannel.is_primary.desc(), ContactChannel.position, ContactChannel.id)
    return (
        select(func.coalesce(func.jsonb_agg(aggregate_order_by(one, *order)), text("'[]'::jsonb")))
        .where(
            ContactChannel.organization_id == Contact.organization_id,
            ContactChannel.contact_id == Contact.id,
            ContactChannel.kind == text(f"'{kind}'"),
        )
        .correlate(Contact)
        .scalar_subquery()
    )


def asking(given: Mapping[str, Any]) -> list[Bound]:
    """What reading a body's phone numbers needs to know."""
    return [_TIME_ZONE.bind()] if given.get("phone") or given.get("phones") else []


def read(given: Mapping[str, Any], answers: Sequence[list[Row]]) -> dict[str, Any]:
    """A body whose numbers are E.164, its lists and its primary fields alike.

    Raises:
        BadPhone: a number is none.
        BadChannels: a list has an address twice or several primary ones, or not the one that stands beside it.
    """
    region = phones.region_of(answers[0][0].time_zone) if answers else None
    values = dict(given)
    if values.get("phone"):
        values["phone"] = _number(values["phone"], region, "/phone")
    for field, (kind, primary) in LISTS.items():
        if values.get(field) is None:
            values.pop(field, None)
            continue
        found = [
            {**one, "value": _number(one["value"], region, f"/phones/{place}/value")} if kind == "phone" else dict(one)
            for place, one in enumerate(values[field])
        ]
        values |= _together(field, kind, primary, found, values)
    return values


def _number(number: str, region: str | None, pointer: str) -> str:
    try:
        return phones.e164(number, region)
    except phones.BadPhoneError as error:
        raise BadPhone(str(error), pointer=pointer) from error


def _together(
    field: str, kind: str, primary: str | None, found: list[dict[str, Any]], values: Mapping[str, Any]
) -> dict[str, Any]:
    keys = [key_of(kind, one["type"], one["value"]) for one in found]
    if len(set(keys)) < len(keys):
        raise BadChannels("The same one stands twice in the list.", pointer=f"/{field}")
    if primary is None:
        return {field: [{**one, "is_primary": False} for one in found]}
    if values.get(primary) is not None:
        wanted = key_of(kind, "", values[primary])
        if wanted not in keys:
            raise BadChannels(f"{primary} is none of {field}. Leave it out, or add it.", pointer=f"/{primary}")
        found = [{**one, "is_primary": key == wanted} for one, key in zip(found, keys, strict=True)]
    if sum(one["is_primary"] for one in found) > 1:
        raise BadChannels("Only one can be the primary one.", pointer=f"/{field}")
    if found and not any(one["is_primary"] for one in found):
        found[0]["is_primary"] = True
    found.sort(key=lambda one: not one["is_primary"])
    return {field: found, primary: found[0]["value"] if found else None}


def follow(state: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The lists after a change: those given, and those whose primary one changed, as the triggers keep them."""
    lists: dict[str, list[dict[str, Any]]] = {}
    for field, (kind, primary) in LISTS.items():
        if field in changed:
            lists[field] = changed[field]
        elif primary is not None and primary in changed:
            lists[field] = _with_primary(kind, state.get(field, []), changed[primary])
        else:
            lists[field] = state.get(field, [])
    return lists


def _with_primary(kind: str, before: Sequence[dict[str, Any]], value: str | None) -> list[dict[str, Any]]:
    others = [one for one in before if not one["is_primary"]]
    if value is None:
        return others
    wanted = key_of(kind, "", value)
    known = next((one for one in others if key_of(kind, "", one["value"]) == wanted), {"type": "work"})
    return [{**known, "value": value, "is_primary": True}, *(one for one in others if one is not known)]


def key_of(kind: str, type_: str, value: str) -> str:
    """What two spellings of one address have in common."""
    if kind == "handle":
        return f"{type_}:{value.lstrip('@').lower()}"
    return value.lower()


def keys_in(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The kinds and keys of all addresses of a body, in the form that is kept."""
    for field, (kind, primary) in LISTS.items():
        if primary is not None and values.get(primary):
            yield kind, key_of(kind, "", values[primary])
        for one in values.get(field) or ():
            yield kind, key_of(kind, one["type"], one["value"])


def fill(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A body that adds to a known contact: its lists are the contact's with what those lack, primary ones stay."""
    values = dict(given)
    for field, (kind, primary) in LISTS.items():
        known = {key_of(kind, one["type"], one["value"]) for one in before[field]}
        asked = [dict(one) for one in given.get(field) or ()]
        asked += [{"type": "work", "value": given[primary]}] if primary and given.get(primary) and not asked else []
        added = [one for one in asked if key_of(kind, one["type"], one["value"]) not in known]
        values.pop(field, None)
        if before[field] and primary is not None:
            values.pop(primary, None)
        if added and (before[field] or field in given):
            values[field] = [*before[field], *({**one, "is_primary": False} for one in added)]
    return values


def keys_of_address(channel: str, address: str) -> Iterable[tuple[str, str]]:
    """By which kinds and keys a contact may have an address that a channel knows."""
    if channel == "email":
        yield "email", address.lower()
        return
    yield "handle", key_of("handle", channel, address)
    digits = address.lstrip("+").replace(" ", "")
    if digits.isdigit() and address.startswith("+"):
        yield "phone", f"+{digits}"


def keep(unit: UnitOfWork, contact_id: UUID, lists: Mapping[str, Any]) -> None:
    """Queue that a contact has these lists; goes after the contact's own row."""
    unit.execute(_FORGET, contact_id=contact_id, kinds=[LISTS[field][0] for field in lists])
    unit.insert(ContactChannel, *_rows(contact_id, lists))


def add(unit: UnitOfWork, new: Iterable[tuple[UUID, Mapping[str, Any]]]) -> None:
    """Queue what new contacts have besides the primary ones, which their own rows bring along."""
    unit.insert(ContactChannel, *(row for contact_id, lists in new for row in _rows(contact_id, lists)))


def _rows(contact_id: UUID, lists: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": uuid7(),
            "contact_id": contact_id,
            "kind": LISTS[field][0],
            **one,
            "key": key_of(LISTS[field][0], one["type"], one["value"]),
            "position": place,
        }
        for field, channels in lists.items()
        for place, one in enumerate(channels)
    ]
