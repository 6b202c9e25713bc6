"""Whom an address belongs to: a contact, the deal with them, who looks after them."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Text, and_, bindparam, case, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from api.contacts.channels import keys_of_address
from api.conversations.state import Link
from api.db.statements import compiled, is_one_of
from api.kernel.unit_of_work import Bound, Row
from api.models.contact import Contact
from api.models.contact_channel import ContactChannel
from api.models.conversation import ChannelIdentity
from api.models.deal import Deal
from contracts.channels import Channel
from contracts.stages import StageKind

_organization: Any = bindparam("organization_id")

_newest_deal = (
    select(Deal.id)
    .where(
        Deal.organization_id == Contact.organization_id,
        Deal.contact_id == Contact.id,
        Deal.status == StageKind.OPEN,
        Deal.deleted_at.is_(None),
    )
    .order_by(Deal.last_occurred_at.desc(), Deal.id)
    .limit(1)
    .scalar_subquery()
)
_link = (Contact.id.label("contact_id"), Contact.owner_id, _newest_deal.label("deal_id"))
_asked: Any = (
    func.unnest(
        bindparam("addresses", type_=ARRAY(Text())),
        bindparam("kinds", type_=ARRAY(Text())),
        bindparam("keys", type_=ARRAY(Text())),
    )
    .table_valued("address", "kind", "key", name="asked")
    .render_derived()
)
_said = (
    select(func.lower(ChannelIdentity.address).label("address"), *_link, literal(0).label("rank"))
    .join(
        Contact,
        and_(Contact.organization_id == ChannelIdentity.organization_id, Contact.id == ChannelIdentity.contact_id),
    )
    .where(
        ChannelIdentity.organization_id == _organization,
        ChannelIdentity.channel == bindparam("channel"),
        is_one_of(func.lower(ChannelIdentity.address), "addresses"),
    )
)
_kept = (
    select(_asked.c.address, *_link, case((ContactChannel.is_primary, 1), else_=2).label("rank"))
    .select_from(_asked)
    .join(
        ContactChannel,
        and_(
            ContactChannel.organization_id == _organization,
            ContactChannel.kind == _asked.c.kind,
            ContactChannel.key == _asked.c.key,
        ),
    )
    .join(
        Contact,
        and_(Contact.organization_id == ContactChannel.organization_id, Contact.id == ContactChannel.contact_id),
    )
)
_CONTACTS = compiled(_said.union_all(_kept).order_by("rank", "contact_id"), is_prepared=False)
_handle = (
    select(ContactChannel.value)
    .where(
        ContactChannel.organization_id == Contact.organization_id,
        ContactChannel.contact_id == Contact.id,
        ContactChannel.kind == "handle",
        ContactChannel.type == bindparam("channel"),
    )
    .order_by(ContactChannel.position, ContactChannel.id)
    .limit(1)
    .scalar_subquery()
)
GIVEN_CONTACT = compiled(
    select(*_link, Contact.email, Contact.phone, _handle.label("handle")).where(
        Contact.organization_id == _organization, Contact.id == bindparam("contact_id")
    )
)


def contacts_at(channel: Channel, addresses: Iterable[str]) -> Bound:
    """The statement that finds contacts by addresses: said so by somebody, else by any address that they have."""
    keyed = [
        (address.lower(), *key) for address in addresses for key in keys_of_address(channel.value, address.lower())
    ]
    return _CONTACTS.bind(
        channel=channel.value,
        addresses=[address for address, _, _ in keyed],
        kinds=[kind for _, kind, _ in keyed],
        keys=[key for _, _, key in keyed],
    )


def links(rows: Sequence[Row]) -> dict[str, Link]:
    """Contacts by the address asked for: what somebody said goes first."""
    found: dict[str, Link] = {}
    for row in rows:
        found.setdefault(row.address, Link(row.contact_id, row.deal_id, row.owner_id))
    return found
