"""Addresses that nothing is sent to any more, and those at which too much came back."""

from collections.abc import Collection

from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.conversations.state import Conversation
from api.db.statements import compiled
from api.kernel.unit_of_work import UnitOfWork
from contracts.channels import Channel

#: So many messages that came back for a while, as from a full mailbox, count as one that never arrives.
_MOST_BOUNCES = 3

_SUPPRESS = compiled(
    # on conflict: an address that bounced twice is suppressed once
    text("""
insert into suppressions (organization_id, id, channel, address, reason)
values (:organization_id, :id, :channel, :address, :reason)
on conflict (organization_id, channel, lower(address)) do nothing
""")
)

#: Addresses at which so many messages came back within a season; what is one person's is found by who they are.
_CAME_BACK = compiled(
    text("""
select asked.address from unnest(cast(:conversation_ids as uuid[]), cast(:addresses as text[]))
    as asked (conversation_id, address)
join conversations k on k.organization_id = :organization_id and k.id = asked.conversation_id
join conversations c on c.organization_id = k.organization_id and (c.id = k.id or c.contact_id = k.contact_id)
    and mailbox(c.address) = mailbox(asked.address)
join messages m on m.organization_id = c.organization_id and m.conversation_id = c.id and m.direction = 'out'
    and m.failure = 'bounced' and m.updated_at > now() - interval '90 days'
group by asked.address having count(distinct m.id) >= :most
"""),
    is_prepared=False,
)


def suppress(unit: UnitOfWork, channel: Channel, address: str, reason: str) -> None:
    """Queue that nothing is sent to an address any more."""
    unit.execute(_SUPPRESS, id=uuid7(), channel=channel.value, address=address, reason=reason)


async def came_back(unit: UnitOfWork, conversations: Collection[Conversation]) -> list[str]:
    """Those of these conversations' addresses at which too many messages came back lately."""
    if not conversations:
        return []
    ids, addresses = [one.id for one in conversations], [one.address for one in conversations]
    rows = await unit.fetch(_CAME_BACK, conversation_ids=ids, addresses=addresses, most=_MOST_BOUNCES)
    return [row.address for row in rows]
