"""`/v1/distribution-rules` and `/v1/distributions`: who gets a new deal, and who got it, and why."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import Response

from api.distribution import records, rules
from api.distribution.schemas import (
    DistributionRead,
    DistributionRuleCreate,
    DistributionRuleRead,
    DistributionRuleUpdate,
)
from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.changes import expect
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.labels import find_or_create
from api.kernel.unit_of_work import Row, UnitOfWork
from api.kernel.visibility import owners_seen
from api.picklists.rules import Picklist

_rules = slice_router(prefix="/distribution-rules", tags=["distribution"])
_made = slice_router(prefix="/distributions", tags=["distribution"])
routers = [_rules, _made]

_CHANGE_ERRORS = (NotFound, PreconditionFailed, PreconditionRequired)


@_rules.post("", status_code=201, responses=problems(UnknownReference))
async def create_distribution_rule(
    body: DistributionRuleCreate, caller: Administrator, unit: Unit, response: Response
) -> DistributionRuleRead:
    """Make a rule of distribution. Rules are tried by `position`; the first that fits a deal decides."""
    values, source = await _values(unit, body.model_dump(mode="json"))
    change = rules.create(values, now=unit.now)
    records.write(unit, change)
    response.headers["Location"] = f"/v1/distribution-rules/{change.after.id}"
    return _answer(change.after, source)


@_rules.get("")
async def list_distribution_rules(caller: CurrentCaller, unit: Unit, page: Page) -> PageOf[DistributionRuleRead]:
    """List the rules of distribution, in the order in which they are tried."""
    rows, cursor = await read_page(unit, records.RULES, {}, page=page)
    return PageOf(items=[DistributionRuleRead.model_validate(row) for row in rows], next_cursor=cursor)


@_rules.get("/{rule_id}", responses=problems(NotFound))
async def read_distribution_rule(rule_id: UUID, caller: CurrentCaller, unit: Unit) -> DistributionRuleRead:
    """Read a rule of distribution."""
    return DistributionRuleRead.model_validate(await _shown(unit, rule_id))


@_rules.patch("/{rule_id}", responses=problems(*_CHANGE_ERRORS, UnknownReference))
async def update_distribution_rule(
    rule_id: UUID, body: DistributionRuleUpdate, caller: Administrator, unit: Unit, if_match: IfMatch
) -> DistributionRuleRead:
    """Change a rule of distribution. Other members or another method begin the turns anew."""
    shown = await _shown(unit, rule_id)
    rule = expect(await records.lock_rule(unit, rule_id), "rule of distribution", version=if_match)
    values, source = await _values(unit, body.model_dump(mode="json", exclude_unset=True))
    change = rules.update(rule, values, now=unit.now)
    if change is not None:
        records.write(unit, change)
    return _answer(change.after if change else rule, source if "source_id" in values else shown.source)


@_rules.delete("/{rule_id}", status_code=204, responses=problems(*_CHANGE_ERRORS))
async def delete_distribution_rule(rule_id: UUID, caller: Administrator, unit: Unit, if_match: IfMatch) -> None:
    """Delete a rule of distribution and what it noted; the deals stay with whom they went to."""
    records.remove(unit, expect(await records.lock_rule(unit, rule_id), "rule of distribution", version=if_match))


@_made.get("")
async def list_distributions(
    caller: CurrentCaller, unit: Unit, page: Page, deal_id: UUID | None = None, rule_id: UUID | None = None
) -> PageOf[DistributionRead]:
    """List what rules of distribution chose, newest first: for deals that you see."""
    given = {"deal_id": deal_id, "rule_id": rule_id, "owners": await owners_seen(unit, caller)}
    rows, cursor = await read_page(unit, records.DISTRIBUTIONS, given, page=page)
    names = await records.names_in(unit, rows)
    return PageOf(items=[_told(row, names) for row in rows], next_cursor=cursor)


async def _values(unit: UnitOfWork, given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The columns of a body, once people and pipeline are known to be there; and the label of its source."""
    people = [member["user_id"] for member in given.get("members", ())]
    people += [given["fallback_user_id"]] if given.get("fallback_user_id") else []
    await records.check_people(unit, [UUID(one) for one in people])
    for name in ("pipeline_id", "fallback_user_id"):
        if given.get(name):
            given[name] = UUID(given[name])
    label = None
    if "source" in given:
        value = given.pop("source")
        found = await find_or_create(unit, Picklist.SOURCE, value) if value else None
        given["source_id"], label = (found.id, found.label) if found else (None, None)
    return given, label


async def _shown(unit: UnitOfWork, rule_id: UUID) -> Row:
    [rows] = await unit.fetch_all(records.RULES.bind({"id": rule_id}, after=None, limit=1))
    if not rows:
        raise NotFound("rule of distribution")
    return rows[0]


def _answer(rule: rules.Rule, source: str | None) -> DistributionRuleRead:
    return DistributionRuleRead.model_validate({**vars(rule), "source": source})


def _told(row: Row, names: Mapping[str, str]) -> DistributionRead:
    return DistributionRead(**row._asdict(), reason=rules.reason(row.outcome, row.facts, names))
