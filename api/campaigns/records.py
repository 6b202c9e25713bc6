"""Statements of campaigns, recipients and touches."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text

from api.campaigns.state import Campaign, Recipient, Touch
from api.db.statements import compiled, is_one_of
from api.kernel.changes import Change
from api.kernel.constraints import Problems, unknown
from api.kernel.listing import Listing
from api.kernel.states import as_state, as_states, only, rows_of
from api.kernel.unit_of_work import Bound, Row, UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.campaign import Campaign as CampaignRow
from api.models.campaign import CampaignRecipient, CampaignTouch

_TABLES = {Campaign: CampaignRow, Recipient: CampaignRecipient, Touch: CampaignTouch}
_PROBLEMS: Problems = {"fk_campaigns_owner_id": unknown("owner_id", "user")}

_campaigns = rows_of(Campaign, CampaignRow)
_recipients = rows_of(Recipient, CampaignRecipient)
_touches = rows_of(Touch, CampaignTouch)

CAMPAIGNS = Listing(
    _campaigns,
    filters={
        "id": CampaignRow.id == bindparam("id"),
        "state": CampaignRow.state == bindparam("state"),
        "owners": is_one_of(CampaignRow.owner_id, "owners"),
    },
    order=(CampaignRow.id,),
    newest_first=True,
)
_LOCKED = Listing(
    _campaigns.with_for_update(key_share=True),
    filters={"id": CampaignRow.id == bindparam("id"), "owners": is_one_of(CampaignRow.owner_id, "owners")},
    order=(CampaignRow.id,),
)
RECIPIENTS = Listing(
    _recipients,
    filters={
        name: getattr(CampaignRecipient, name) == bindparam(name)
        for name in ("id", "campaign_id", "contact_id", "company_id", "state", "ending", "reason")
    },
    order=(CampaignRecipient.id,),
)
_OF_SOMEBODY = compiled(
    _recipients.where(
        CampaignRecipient.campaign_id == bindparam("campaign_id"), CampaignRecipient.contact_id == bindparam("one")
    ).with_for_update(key_share=True)
)
_OF_COMPANY = compiled(
    _recipients.where(
        CampaignRecipient.campaign_id == bindparam("campaign_id"), CampaignRecipient.company_id == bindparam("one")
    )
    .order_by(CampaignRecipient.id)
    .with_for_update(key_share=True)
)
#: Recipients of a campaign whose turn has come, locked; those that another worker has are left to it.
DUE = compiled(
    _recipients.where(
        CampaignRecipient.campaign_id == bindparam("campaign_id"),
        CampaignRecipient.state == "waiting",
        CampaignRecipient.due_at <= bindparam("now"),
    )
    .order_by(CampaignRecipient.due_at, CampaignRecipient.id)
    .limit(bindparam("row_limit"))
    .with_for_update(key_share=True, skip_locked=True)
)
LOCKED_RECIPIENTS = compiled(
    _recipients.where(is_one_of(CampaignRecipient.id, "ids"))
    .order_by(CampaignRecipient.id)
    .with_for_update(key_share=True),
    is_prepared=False,
)
TOUCH_OF_MESSAGE = compiled(_touches.where(CampaignTouch.message_id == bindparam("message_id")))
TOUCHES = compiled(_touches.where(is_one_of(CampaignTouch.id, "ids")), is_prepared=False)
#: A recipient's newest conversation on a channel: the next step goes into it.
CONVERSATIONS = compiled(
    text("""
select distinct on (recipient_id, channel) recipient_id, channel, conversation_id, account_id from campaign_touches
where organization_id = :organization_id and recipient_id = any(:ids) and conversation_id is not null
order by recipient_id, channel, step desc
"""),
    is_prepared=False,
)
#: What those are called whose contacts `owners` let see.
_NAMES = compiled(
    text("""
select id, name from contacts
where organization_id = :organization_id and id = any(:ids)
    and (cast(:owners as uuid[]) is null or owner_id = any(cast(:owners as uuid[])))
"""),
    is_prepared=False,
)
#: Messages that a campaign began within a day, and how many of an account's wait to be claimed.
BEGUN = compiled(
    text("""
select count(*) as begun from campaign_touches
where organization_id = :organization_id and campaign_id = :campaign_id and message_id is not null
    and created_at > now() - interval '1 day'
""")
)
QUEUED = compiled(
    text("""
select account_id, count(*) as queued from sends
where organization_id = :organization_id and account_id = any(:account_ids) and state = 'queued'
    and source not in ('reply', 'draft')
group by account_id
"""),
    is_prepared=False,
)
LEFT = compiled(
    text("""
select exists (select from campaign_recipients where organization_id = :organization_id and campaign_id = :campaign_id
    and state in ('waiting', 'under_way')) as is_left
""")
)
#: Active recipients of running or paused campaigns whom a message is from: by their conversation, or who they are.
CONCERNED = compiled(
    text("""
select r.id, r.campaign_id, r.company_id from campaign_recipients r
where r.organization_id = :organization_id and r.state <> 'excluded' and r.replied_at is null
    and (r.contact_id = :contact_id or r.id in (
        select recipient_id from campaign_touches
        where organization_id = :organization_id and conversation_id = :conversation_id))
    -- who wrote before anything was drawn for them answers something else, but has answered
    and r.created_at <= :at
""")
)
COLLEAGUES = compiled(
    text("""
select r.id from campaign_recipients r
join campaigns c on c.organization_id = r.organization_id and c.id = r.campaign_id
where r.organization_id = :organization_id and c.stops_company and r.campaign_id = any(:campaign_ids)
    and r.company_id = any(:company_ids) and r.state in ('waiting', 'under_way') and r.id <> all(:ids)
"""),
    is_prepared=False,
)
ACTIVE_OF_CONTACT = compiled(
    text("""
select id from campaign_recipients
where organization_id = :organization_id and contact_id = :contact_id and state in ('waiting', 'under_way')
""")
)
#: Messages of a campaign that nobody has claimed.
QUEUED_MESSAGES = compiled(
    text("""
select t.message_id from campaign_touches t
join sends s on s.organization_id = t.organization_id and s.message_id = t.message_id and s.state = 'queued'
where t.organization_id = :organization_id and t.campaign_id = :campaign_id and t.state = 'queued'
""")
)
HOLD = compiled(
    text("""
update sends s set not_before = :held_until from campaign_touches t
where t.organization_id = :organization_id and t.campaign_id = :campaign_id and t.state = 'queued'
    and s.organization_id = t.organization_id and s.message_id = t.message_id and s.state = 'queued'
""")
)
RELEASE = compiled(
    text("""
update sends s set not_before = now() from campaign_touches t
where t.organization_id = :organization_id and t.campaign_id = :campaign_id and t.state = 'queued'
    and s.organization_id = t.organization_id and s.message_id = t.message_id and s.state = 'queued'
    and s.not_before = :held_until
""")
)
PROGRESS = compiled(
    text("""
select step, variant, state, count(*) as touches from campaign_touches
where organization_id = :organization_id and campaign_id = :campaign_id
group by step, variant, state order by step, variant, state
""")
)
STANDING = compiled(
    text("""
select state, coalesce(ending, reason) as why, count(*) as recipients, count(replied_at) as replied,
    min(due_at) as next_at
from campaign_recipients where organization_id = :organization_id and campaign_id = :campaign_id
group by state, coalesce(ending, reason) order by state, why
""")
)


async def find_campaign(unit: UnitOfWork, campaign_id: UUID, *, owners: Iterable[UUID] | None) -> Campaign:
    """One campaign that the caller sees.

    Raises:
        NotFound: there is none.
    """
    return await _one(unit, CAMPAIGNS, campaign_id, owners)


async def lock_campaign(unit: UnitOfWork, campaign_id: UUID, *, owners: Iterable[UUID] | None = None) -> Campaign:
    """The same, locked: it neither starts, pauses nor queues anything meanwhile.

    Raises:
        NotFound: there is none.
    """
    return await _one(unit, _LOCKED, campaign_id, owners)


async def _one(unit: UnitOfWork, listing: Listing, campaign_id: UUID, owners: Iterable[UUID] | None) -> Campaign:
    given = {"id": campaign_id, "owners": None if owners is None else sorted(owners)}
    [rows] = await unit.fetch_all(listing.bind(given, after=None, limit=1))
    return only(Campaign, rows, "campaign")


async def lock_of_contact(unit: UnitOfWork, campaign_id: UUID, contact_id: UUID) -> list[Recipient]:
    """A campaign's recipient that a contact is, if they are one."""
    return recipients(await unit.fetch(_OF_SOMEBODY, campaign_id=campaign_id, one=contact_id))


async def lock_of_company(unit: UnitOfWork, campaign_id: UUID, company_id: UUID) -> list[Recipient]:
    """A campaign's recipients that belong to a company."""
    return recipients(await unit.fetch(_OF_COMPANY, campaign_id=campaign_id, one=company_id))


async def lock_recipients(unit: UnitOfWork, ids: Iterable[UUID]) -> list[Recipient]:
    """Recipients, locked in the order of their ids."""
    wanted = sorted(ids)
    return recipients(await unit.fetch(LOCKED_RECIPIENTS, ids=wanted)) if wanted else []


async def names(unit: UnitOfWork, contact_ids: Collection[UUID], owners: Iterable[UUID] | None) -> dict[UUID, str]:
    """What these contacts are called, as far as `owners` let see."""
    if not contact_ids:
        return {}
    seen = None if owners is None else sorted(owners)
    return {row.id: row.name for row in await unit.fetch(_NAMES, ids=sorted(contact_ids), owners=seen)}


async def touches(unit: UnitOfWork, ids: Iterable[UUID | None]) -> dict[UUID, Touch]:
    """Touches by their ids."""
    wanted = sorted(one for one in ids if one is not None)
    found = as_states(Touch, await unit.fetch(TOUCHES, ids=wanted)) if wanted else []
    return {one.id: one for one in found}


def touch_of(message_id: UUID) -> Bound:
    """The statement that answers the touch of a message."""
    return TOUCH_OF_MESSAGE.bind(message_id=message_id)


def as_touch(rows: Sequence[Row]) -> Touch | None:
    """Its answer."""
    return as_state(Touch, rows[0]) if rows else None


def recipients(rows: Sequence[Row]) -> list[Recipient]:
    """Rows as states."""
    return as_states(Recipient, rows)


def write(unit: UnitOfWork, decided: Iterable[Change[Any]]) -> None:
    """Queue what was decided."""
    unit.explain(_PROBLEMS)
    write_changes(unit, decided, _TABLES)
