"""Who is in a campaign's audience, and who of them is not written to, and why.

The audience is a saved view of contacts, narrowed by a filter of the campaign's own, as whoever starts it sees them.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text

from api.campaigns.state import Campaign
from api.contacts.records import CONTACTS
from api.conversations.addresses import mailbox
from api.db.statements import compiled
from api.edge.pages import asked
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, Unprocessable
from api.kernel.filters import Wish, check
from api.kernel.unit_of_work import Row, UnitOfWork
from api.views.records import find_view
from api.views.rules import View
from contracts.channels import Channel
from contracts.events.campaigns import LegalBasis

#: People of one campaign.
LARGEST = 20_000


class Exclusion(StrEnum):
    """Why somebody of the audience is not written to."""

    NO_ADDRESS = "no_address"
    SAME_ADDRESS = "same_address"
    SUPPRESSED = "suppressed"
    NO_CONSENT = "no_consent"
    IN_ANOTHER_CAMPAIGN = "in_another_campaign"
    COLLEAGUE_REPLIED = "colleague_replied"


class AudienceTooLarge(Unprocessable):
    """More people than one campaign takes."""

    code, pointer = "audience_too_large", "/filter"
    detail = f"A campaign has at most {LARGEST} people. Narrow its view or filter."


class WrongView(Unprocessable):
    """The audience is of contacts."""

    code, detail, pointer = "wrong_view", "The audience of a campaign is a view of contacts.", "/view_id"


@dataclass(frozen=True)
class Person:
    """One person of an audience; `reason` says why they are not written to."""

    contact_id: UUID
    name: str
    company_id: UUID | None
    deal_id: UUID | None
    addresses: Mapping[Channel, str]
    reason: Exclusion | None = None


@dataclass
class Audience:
    """Everybody of an audience, in the order of the list, newest first."""

    people: list[Person] = field(default_factory=list)

    @property
    def included(self) -> list[Person]:
        """Who is written to."""
        return [one for one in self.people if one.reason is None]

    @property
    def reasons(self) -> dict[str, int]:
        """How many are not, by reason."""
        return dict(sorted(Counter(one.reason.value for one in self.people if one.reason is not None).items()))


#: What is known of contacts, as far as campaigns look at it.
PEOPLE = compiled(
    text("""
select c.id, c.name, c.email, c.phone, c.company_id, c.owner_id, c.custom,
    o.name as company_name, o.domain as company_domain,
    d.id as deal_id, d.title as deal_title, d.amount_minor as deal_amount_minor, d.currency as deal_currency,
    ds.name as deal_stage, src.label as source,
    i.address as telegram,
    exists (select from suppressions s where s.organization_id = c.organization_id and s.channel = 'email'
        and mailbox(s.address) = mailbox(c.email)) as is_email_suppressed,
    exists (select from suppressions s where s.organization_id = c.organization_id and s.channel = 'telegram'
        and mailbox(s.address) = mailbox(coalesce(i.address, c.phone))) as is_telegram_suppressed,
    exists (select from consents g where g.organization_id = c.organization_id and g.contact_id = c.id
        and g.given_at <= now() and (g.withdrawn_at is null or g.withdrawn_at > now())) as has_consent,
    exists (select from campaign_recipients r join campaigns p on p.organization_id = r.organization_id
        and p.id = r.campaign_id where r.organization_id = c.organization_id and r.contact_id = c.id
        and r.state in ('waiting', 'under_way') and p.state in ('running', 'paused')
        and p.id <> :campaign_id) as is_elsewhere,
    exists (select from campaign_recipients r where r.organization_id = c.organization_id
        and r.company_id = c.company_id and r.contact_id <> c.id and r.replied_at > now() - interval '90 days'
    ) as has_colleague_replied
from contacts c
left join companies o on o.organization_id = c.organization_id and o.id = c.company_id
left join picklist_values src on src.organization_id = c.organization_id and src.id = c.source_id
left join lateral (
    select d.id, d.title, d.amount_minor, d.currency, d.stage_id from deals d
    where d.organization_id = c.organization_id and d.contact_id = c.id and d.status = 'open' and d.deleted_at is null
    order by d.last_occurred_at desc, d.id limit 1) d on true
left join stages ds on ds.organization_id = c.organization_id and ds.id = d.stage_id
left join lateral (
    select i.address from channel_identities i
    where i.organization_id = c.organization_id and i.contact_id = c.id and i.channel = 'telegram'
    order by i.id limit 1) i on true
where c.organization_id = :organization_id and c.id = any(:ids)
"""),
    is_prepared=False,
)


async def read_audience(
    unit: UnitOfWork, campaign: Campaign, *, owners: Collection[UUID] | None, viewer_id: UUID
) -> Audience:
    """Everybody of a campaign's audience, with who is excluded and why.

    Raises:
        UnknownReference, WrongView, BadFilter, AudienceTooLarge: as they say.
    """
    conditions = [*(await _conditions_of_view(unit, campaign, viewer_id)), *check(campaign.filter)]
    wish = Wish(tuple(conditions)) if conditions else None
    ask = await asked(unit, wish, CONTACTS.noun, CONTACTS.fields, CONTACTS.model)
    given = {"owners": None if owners is None else list(owners)}
    [rows] = await unit.fetch_all(CONTACTS.listing.bind(given, after=None, limit=LARGEST + 1, ask=ask))
    if len(rows) > LARGEST:
        raise AudienceTooLarge
    found = await people(unit, campaign, [row.id for row in rows])
    return judge(campaign, [found[row.id] for row in rows if row.id in found])


async def people(unit: UnitOfWork, campaign: Campaign, ids: list[UUID]) -> dict[UUID, Row]:
    """What is known of contacts now."""
    rows = await unit.fetch(PEOPLE, campaign_id=campaign.id, ids=ids) if ids else []
    return {row.id: row for row in rows}


def judge(campaign: Campaign, rows: list[Row]) -> Audience:
    """Who of these is written to. Of several with one address it is the first."""
    audience, taken = Audience(), set[tuple[Channel, str]]()
    for row in rows:
        addresses = addresses_of(row)
        mailboxes = {(channel, mailbox(addresses[channel])) for channel in campaign.channels if channel in addresses}
        reason = objection(campaign, row) or (Exclusion.SAME_ADDRESS if mailboxes & taken else None)
        if reason is None:
            taken |= mailboxes
        audience.people.append(Person(row.id, row.name, row.company_id, row.deal_id, addresses, reason))
    return audience


def addresses_of(row: Row) -> dict[Channel, str]:
    """Where somebody can be written to."""
    telegram = row.telegram or row.phone
    found = {Channel.EMAIL: row.email, Channel.TELEGRAM: telegram}
    return {channel: address for channel, address in found.items() if address}


def objection(campaign: Campaign, row: Row) -> Exclusion | None:
    """Why somebody must not, or cannot, be written to by a campaign."""
    addresses = addresses_of(row)
    suppressed = {Channel.EMAIL: row.is_email_suppressed, Channel.TELEGRAM: row.is_telegram_suppressed}
    if any(channel not in addresses for channel in campaign.channels):
        return Exclusion.NO_ADDRESS
    if any(suppressed[channel] for channel in campaign.channels):
        return Exclusion.SUPPRESSED
    if campaign.legal_basis == LegalBasis.CONSENT and not row.has_consent:
        return Exclusion.NO_CONSENT
    if row.is_elsewhere:
        return Exclusion.IN_ANOTHER_CAMPAIGN
    if campaign.stops_company and row.has_colleague_replied:
        return Exclusion.COLLEAGUE_REPLIED
    return None


async def _conditions_of_view(unit: UnitOfWork, campaign: Campaign, viewer_id: UUID) -> list[tuple[str, str, Any]]:
    view = await view_of(unit, campaign.view_id, viewer_id=viewer_id)
    return list(check(view.filter)) if view is not None else []


async def view_of(unit: UnitOfWork, view_id: UUID | None, *, viewer_id: UUID) -> View | None:
    """The view that a campaign is for; none, it is for everybody.

    Raises:
        UnknownReference, WrongView: it was deleted, is somebody else's, or is none of contacts.
    """
    if view_id is None:
        return None
    try:
        view = await find_view(unit, view_id, viewer_id=viewer_id)
    except NotFound as error:
        raise UnknownReference("view_id", "view") from error
    if view.record_kind != CONTACTS.noun:
        raise WrongView
    return view
