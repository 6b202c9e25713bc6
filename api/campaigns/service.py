"""What people do with campaigns: start them, stop parts of them, and look at what somebody would get."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from api.bd_accounts import records as accounts
from api.bd_accounts import rules as account_rules
from api.bd_accounts.rules import Account
from api.campaigns import audience, conditions, journeys, records, rules, templates, texts
from api.campaigns.audience import Audience
from api.campaigns.document import Step
from api.campaigns.hearing import take_back
from api.campaigns.state import Campaign, CampaignState, Recipient
from api.conversations.sending import withdraw
from api.kernel.changes import Change
from api.kernel.constraints import UnknownReference
from api.kernel.custom import defining, definitions
from api.kernel.errors import NotFound, Unprocessable
from api.kernel.unit_of_work import UnitOfWork
from contracts.channels import Channel
from contracts.events.campaigns import Ending

#: How many people without a field are named.
_NAMED = 20
#: What a paused campaign has queued waits until somebody lets it go on.
HELD_UNTIL = datetime(9999, 1, 1, tzinfo=UTC)


class FieldMissing(Unprocessable):
    """Somebody lacks a field that a text names."""

    code, pointer = "merge_field_missing", "/steps"

    def __init__(self, lacking: Sequence[tuple[str, str, int]]) -> None:
        self.lacking = lacking
        name, field, step = lacking[0]
        super().__init__(
            f"{name} has no {field}, which step {step} names. Fill it in, give a word for those who lack it after a"
            " bar, or leave them out."
        )

    def problem(self) -> dict[str, object]:
        """With each person and field, as far as they are named."""
        errors = [
            {"pointer": f"/steps/{step - 1}", "code": self.code, "detail": f"{name} has no {field}."}
            for name, field, step in self.lacking
        ]
        return super().problem() | {"errors": errors}


class NobodyToWriteTo(Unprocessable):
    """The audience is empty, or everybody is excluded."""

    code, detail, pointer = "nobody_in_audience", "Nobody of the audience can be written to.", "/filter"


async def check_steps(unit: UnitOfWork, steps: Sequence[Step]) -> None:
    """Refuse conditions and texts that name what there is not.

    Raises:
        BadCondition, BadTemplate: as they say.
    """
    [rows] = await unit.fetch_all(defining("contact"))
    custom = texts.custom_names(definitions(rows))
    for place, step in enumerate(steps):
        conditions.check(step.when, pointer=f"/steps/{place}/when", now=unit.now)
        for variant in step.variants:
            for part in texts.parts_of(variant):
                templates.check(part, custom)


async def start(unit: UnitOfWork, campaign: Campaign, *, owners: Collection[UUID] | None, viewer_id: UUID) -> Campaign:
    """Enrol the audience and begin. Nobody is written to whose text would have a hole.

    Raises:
        CampaignNotAllowed, LegalBasisMissing, NothingToDo, FieldMissing, NobodyToWriteTo: as they say; those of
            `audience.read_audience` too.
    """
    rules.require_startable(campaign)
    await check_steps(unit, campaign.sequence)
    senders = await check_accounts(unit, campaign)
    found = await audience.read_audience(unit, campaign, owners=owners, viewer_id=viewer_id)
    if not found.included:
        raise NobodyToWriteTo
    await _require_fields(unit, campaign, found, senders)
    now = unit.now
    started = rules.start(
        campaign, now, recipients=len(found.included), excluded=len(found.people) - len(found.included)
    )
    decided: list[Change[Recipient]] = [
        journeys.enrol(campaign, one.contact_id, now, company_id=one.company_id, deal_id=one.deal_id)
        if one.reason is None
        else journeys.exclude(campaign, one.contact_id, now, company_id=one.company_id, reason=one.reason.value)
        for one in found.people
    ]
    records.write(unit, [started, *decided])
    return started.after


async def check_accounts(unit: UnitOfWork, campaign: Campaign) -> dict[Channel, Account]:
    """One account for each channel of a campaign.

    Raises:
        UnknownReference, NothingToDo: an account is none, or a channel has none.
    """
    found: dict[Channel, Account] = {}
    for account_id in campaign.account_ids:
        try:
            account = await accounts.find_account(unit, account_id)
        except NotFound as error:
            raise UnknownReference("account_ids", "account") from error
        found.setdefault(account.channel, account)
    if lacking := sorted(campaign.channels - set(found)):
        raise rules.NothingToDo(f"Choose an account of channel {lacking[0]} to send from.", pointer="/account_ids")
    return found


async def _require_fields(
    unit: UnitOfWork, campaign: Campaign, found: Audience, senders: dict[Channel, Account]
) -> None:
    """Of each wording, that everybody has what it names: whoever gets which is drawn later."""
    [rows] = await unit.fetch_all(defining("contact"))
    custom = texts.custom_names(definitions(rows))
    known = await audience.people(unit, campaign, [one.contact_id for one in found.included])
    lacking = []
    for one in found.included:
        for place, step in enumerate(campaign.sequence, start=1):
            sender = senders[step.channel].name if step.channel else None
            values = texts.values_of(known[one.contact_id], sender=sender, custom=custom)
            missing = {name for variant in step.variants for name in texts.write(variant, values).missing}
            lacking += [(one.name, name, place) for name in sorted(missing)]
    if lacking:
        raise FieldMissing(lacking[:_NAMED])


#: Stands in a preview where a mail has a link of its own.
_A_LINK = "…/unsubscribe/… (a link of their own)"

Preview = list[tuple[int, Step, str, str | None, str | None, texts.Written]]


async def preview(
    unit: UnitOfWork, campaign: Campaign, contact_id: UUID, *, owners: Collection[UUID] | None
) -> Preview:
    """Every wording of every step for one person: place, step, variant, from and to where, all words.

    Raises:
        NotFound: there is no such contact that `owners` let see.
    """
    known = await audience.people(unit, campaign, [contact_id])
    person = known.get(contact_id)
    if person is None or (owners is not None and person.owner_id not in owners):
        raise NotFound("contact")
    [rows] = await unit.fetch_all(defining("contact"))
    custom = texts.custom_names(definitions(rows))
    senders = await check_accounts(unit, campaign) if campaign.account_ids else {}
    addresses = audience.addresses_of(person)
    found: Preview = []
    for place, step in enumerate(campaign.sequence, start=1):
        account = senders.get(step.channel) if step.channel else None
        values = texts.values_of(person, sender=account.name if account else None, custom=custom)
        address = addresses.get(step.channel) if step.channel else None
        for number, variant in enumerate(step.variants):
            written = texts.write(variant, values)
            if step.channel is not None:
                written, _ = texts.with_way_out(step, written, _A_LINK)
            found.append((place, step, "ABCDE"[number], account.address if account else None, address, written))
    return found


async def rooms(unit: UnitOfWork, campaign: Campaign, now: datetime) -> list[tuple[Account, int]]:
    """The accounts that a campaign sends from, and how many messages each may begin today."""
    found = []
    for account_id in campaign.account_ids:
        with suppress(NotFound):
            account = await accounts.find_account(unit, account_id)
            condition = accounts.read_condition(await unit.fetch_all(*accounts.condition(account_id)))
            found.append((account, account_rules.budget(account, condition, now)))
    return found


async def stop(unit: UnitOfWork, recipients: Sequence[Recipient]) -> int:
    """Somebody ends it for these people; for how many it did."""
    active = [one for one in recipients if one.is_active]
    records.write(unit, [journeys.end(one, Ending.STOPPED, unit.now, reason="by_hand") for one in active])
    await take_back(unit, active)
    return len(active)


async def hold_or_release(unit: UnitOfWork, campaign: Campaign) -> None:
    """What a campaign has queued waits while it is paused, goes when it goes on, and is taken back when it ends."""
    if campaign.state is CampaignState.CANCELLED:
        rows = await unit.fetch(records.QUEUED_MESSAGES, campaign_id=campaign.id)
        await withdraw(unit, [row.message_id for row in rows])
        return
    statement = records.HOLD if campaign.state is CampaignState.PAUSED else records.RELEASE
    unit.execute(statement, campaign_id=campaign.id, held_until=HELD_UNTIL)
