"""Statements of distribution. Whoever lets a rule choose holds its row until the deal is stored."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import BindParameter, Boolean, Text, Uuid, and_, bindparam, cast, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from uuid_utils.compat import uuid7

from api.db.statements import compiled, is_one_of
from api.distribution.rules import Change, Choice, Rule, choose
from api.kernel.constraints import UnknownReference, unknown
from api.kernel.listing import Listing
from api.kernel.states import as_state, only, rows_of
from api.kernel.unit_of_work import Row, UnitOfWork
from api.kernel.writing import write as write_changes
from api.models.deal import Deal
from api.models.distribution import Distribution, DistributionRule
from api.models.organization import Organization
from api.models.picklist_value import PicklistValue
from api.models.user import User
from contracts.events.distribution import DistributionMade
from contracts.stages import StageKind

_organization: BindParameter[UUID] = bindparam("organization_id")
_rules = rows_of(Rule, DistributionRule)
#: Rules in the order in which they are tried, each with the label of its source.
RULES = Listing(
    _rules.add_columns(PicklistValue.label.label("source")).outerjoin(
        PicklistValue,
        and_(
            PicklistValue.organization_id == DistributionRule.organization_id,
            PicklistValue.id == DistributionRule.source_id,
        ),
    ),
    filters={"id": DistributionRule.id == bindparam("id")},
    order=(DistributionRule.position, DistributionRule.id),
)
_LOCKED = compiled(_rules.where(DistributionRule.id == bindparam("rule_id")).with_for_update())
_DELETE = compiled(
    delete(DistributionRule).where(
        DistributionRule.organization_id == _organization, DistributionRule.id == bindparam("rule_id")
    )
)
#: Whether there is a rule for deals that name no owner.
IS_AUTOMATIC = (
    select(DistributionRule.id)
    .where(DistributionRule.organization_id == _organization, DistributionRule.is_active, DistributionRule.is_automatic)
    .exists()
)
# whoever waits for the lock sees the turns that the one before left
_FITTING = compiled(
    _rules.where(
        DistributionRule.is_active,
        or_(DistributionRule.pipeline_id.is_(None), DistributionRule.pipeline_id == bindparam("pipeline_id")),
        or_(DistributionRule.source_id.is_(None), DistributionRule.source_id == bindparam("source_id", type_=Uuid)),
        or_(bindparam("is_asked", type_=Boolean), DistributionRule.is_automatic),
    )
    .order_by(DistributionRule.position, DistributionRule.id)
    .limit(1)
    .with_for_update(key_share=True)
)
_STANDING = compiled(
    select(User.id, func.count(Deal.id).label("open_deals"))
    .outerjoin(
        Deal,
        and_(
            Deal.organization_id == User.organization_id,
            Deal.owner_id == User.id,
            Deal.status == StageKind.OPEN,
            Deal.deleted_at.is_(None),
            Deal.id.is_distinct_from(bindparam("deal_id", type_=Uuid)),
        ),
    )
    .where(User.organization_id == _organization, is_one_of(User.id, "user_ids"), User.is_active)
    .group_by(User.id)
)
_ZONE = compiled(select(Organization.time_zone).where(Organization.organization_id == _organization))
_TURN = compiled(
    update(DistributionRule)
    .where(DistributionRule.organization_id == _organization, DistributionRule.id == bindparam("rule_id"))
    .values(credits=bindparam("credits", type_=JSONB))
)
_ACTIVE = compiled(
    select(User.id).where(User.organization_id == _organization, User.is_active, is_one_of(User.id, "user_ids"))
)
#: What was chosen, newest first.
DISTRIBUTIONS = Listing(
    select(
        Distribution.id,
        Distribution.rule_id,
        Distribution.rule_version,
        DistributionRule.name.label("rule"),
        Distribution.deal_id,
        Distribution.user_id,
        Distribution.outcome,
        Distribution.facts,
        Distribution.created_at,
    )
    .join(
        DistributionRule,
        and_(
            DistributionRule.organization_id == Distribution.organization_id,
            DistributionRule.id == Distribution.rule_id,
        ),
    )
    .join(Deal, and_(Deal.organization_id == Distribution.organization_id, Deal.id == Distribution.deal_id))
    .where(Distribution.organization_id == _organization, Deal.deleted_at.is_(None)),
    filters={
        "deal_id": Distribution.deal_id == bindparam("deal_id"),
        "rule_id": Distribution.rule_id == bindparam("rule_id"),
        "owners": is_one_of(Deal.owner_id, "owners"),
    },
    order=(Distribution.id,),
    newest_first=True,
)
_NAMES = compiled(
    select(cast(User.id, Text).label("id"), User.name).where(
        User.organization_id == _organization, is_one_of(User.id, "user_ids")
    )
)


@dataclass(frozen=True)
class Chosen:
    """A rule's choice, to be noted once the deal is stored."""

    rule: Rule
    choice: Choice

    @property
    def user_id(self) -> UUID | None:
        """Whom the deal goes to."""
        return self.choice.user_id


async def distribute(
    unit: UnitOfWork, *, pipeline_id: UUID, source_id: UUID | None, is_asked: bool, deal_id: UUID | None = None
) -> Chosen | None:
    """Let the first fitting rule choose, and hold it until the transaction ends; None where none fits.

    Where nobody asked, only an automatic rule may. A deal that is there already does not count as its owner's.
    """
    found = await unit.fetch(_FITTING, pipeline_id=pipeline_id, source_id=source_id, is_asked=is_asked)
    if not found:
        return None
    rule = as_state(Rule, found[0])
    people = [UUID(member["user_id"]) for member in rule.members]
    people += [rule.fallback_user_id] if rule.fallback_user_id else []
    # after the lock: what the one before stored is counted
    standing, [zone] = await unit.fetch_all(_STANDING.bind(user_ids=people, deal_id=deal_id), _ZONE.bind())
    open_deals = {row.id: row.open_deals for row in standing}
    return Chosen(rule, choose(rule, open_deals, now=unit.now, zone=ZoneInfo(zone.time_zone)))


def note(unit: UnitOfWork, chosen: Chosen, deal_id: UUID) -> None:
    """Queue what a rule chose for a deal: the turn that it was, the reason, the event."""
    rule, choice, made_id = chosen.rule, chosen.choice, uuid7()
    if choice.credits != rule.credits:
        unit.execute(_TURN, rule_id=rule.id, credits=dict(choice.credits))
    unit.insert(
        Distribution,
        {
            "id": made_id,
            "created_at": unit.now,
            "rule_id": rule.id,
            "rule_version": rule.version,
            "deal_id": deal_id,
            "user_id": choice.user_id,
            "outcome": choice.outcome,
            "facts": dict(choice.facts),
        },
    )
    event = DistributionMade(
        rule_id=rule.id,
        rule_version=rule.version,
        deal_id=deal_id,
        owner_id=choice.user_id,
        outcome=choice.outcome,
        method=rule.method,
        passed_over=len(choice.facts["passed_over"]),
    )
    unit.emit(event, aggregate_id=made_id, aggregate_version=1)


async def lock_rule(unit: UnitOfWork, rule_id: UUID) -> Rule:
    """One rule, locked.

    Raises:
        NotFound: there is none.
    """
    return only(Rule, await unit.fetch(_LOCKED, rule_id=rule_id), "rule of distribution")


async def check_people(unit: UnitOfWork, user_ids: Iterable[UUID]) -> None:
    """Check that whom a rule names are active users.

    Raises:
        UnknownReference: one is not.
    """
    wanted = set(user_ids)
    if wanted - {row.id for row in await unit.fetch(_ACTIVE, user_ids=list(wanted))}:
        raise UnknownReference("members", "active user")


async def names_in(unit: UnitOfWork, made: Iterable[Row]) -> dict[str, str]:
    """The names of the people whom choices speak of."""
    ids: Collection[str] = {one["user_id"] for row in made for one in row.facts["passed_over"]}
    return {row.id: row.name for row in await unit.fetch(_NAMES, user_ids=[UUID(one) for one in ids])} if ids else {}


def write(unit: UnitOfWork, change: Change) -> None:
    """Queue a rule."""
    unit.explain({"fk_distribution_rules_pipeline_id": unknown("pipeline_id", "pipeline")})
    write_changes(unit, [change], {Rule: DistributionRule})


def remove(unit: UnitOfWork, rule: Rule) -> None:
    """Queue that a rule is gone, and what it chose with it."""
    unit.execute(_DELETE, rule_id=rule.id)
