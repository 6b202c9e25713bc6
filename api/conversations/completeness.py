"""The ledger of completeness: of each day of an account, what the provider has against what is stored here.

A connector names all messages that the provider has of a day; the answer names those that are not here, which it then
hands in. What it could not read or leaves out on purpose, it counts with a reason: nothing is lost without a word.
Events tell of days that are over, and of each day with gaps: a day that goes well is told of once.
"""

from datetime import UTC, date, datetime, time
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import bindparam, select, text
from uuid_utils.compat import uuid7

from api.bd_accounts import records as accounts
from api.bd_accounts.connectors import Connector
from api.bd_accounts.rules import LeaseLost, expect_holder
from api.db.statements import compiled, is_one_of
from api.edge.dependencies import CurrentCaller, Unit
from api.edge.fields import Day, Whole
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound
from api.kernel.listing import Listing
from api.kernel.unit_of_work import Row
from api.models.bd_account import BdAccountDay
from api.models.message import Message
from contracts.events.bd_accounts import AccountDayCompared

router = slice_router(prefix="/bd-accounts", tags=["bd-accounts"])

_STORED = compiled(
    select(Message.provider_id).where(
        Message.organization_id == bindparam("organization_id"),
        Message.account_id == bindparam("account_id"),
        is_one_of(Message.provider_id, "provider_ids"),
    ),
    is_prepared=False,
)
_DAYS = Listing(
    select(BdAccountDay).where(BdAccountDay.organization_id == bindparam("organization_id")),
    filters={
        "account_id": BdAccountDay.account_id == bindparam("account_id"),
        "is_incomplete": (BdAccountDay.missing > 0) & (bindparam("is_incomplete", type_=BdAccountDay.missing.type) > 0),
    },
    order=(BdAccountDay.day, BdAccountDay.id),
    newest_first=True,
)
_KEEP = compiled(
    text("""
insert into bd_account_days
    (organization_id, id, account_id, day, provider, stored, missing, filtered, failed, healed, version, checked_at)
values (:organization_id, :id, :account_id, :day, :provider, :stored, :missing, :filtered, :failed, :healed, :version,
    :checked_at)
on conflict (organization_id, account_id, day) do update set
    provider = excluded.provider, stored = excluded.stored, missing = excluded.missing,
    filtered = excluded.filtered, failed = excluded.failed, checked_at = excluded.checked_at,
    healed = excluded.healed, version = excluded.version
""")
)
_KEPT = compiled(
    select(BdAccountDay).where(
        BdAccountDay.organization_id == bindparam("organization_id"),
        BdAccountDay.account_id == bindparam("account_id"),
        BdAccountDay.day == bindparam("day"),
    )
)

_Counts = dict[Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,60}$")], Annotated[int, Field(ge=0)]]


class DayCompare(BaseModel):
    """All that the provider has of a day."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"epoch": 1, "provider_ids": ["<a1@acme.example>"]}]}
    )

    epoch: Whole = Field(ge=0)
    provider_ids: list[Annotated[str, StringConstraints(min_length=1, max_length=1000)]] = Field(max_length=10_000)
    filtered: _Counts = Field(default_factory=dict, description="Left out on purpose, by reason.")
    failed: _Counts = Field(default_factory=dict, description="Could not be taken in, by reason.")


class DayRead(BaseModel):
    """A day of an account: the provider's count is what is stored, missing, failed and filtered together."""

    model_config = ConfigDict(from_attributes=True)

    account_id: UUID
    day: date
    provider: int
    stored: int
    missing: int
    filtered: dict[str, int]
    failed: dict[str, int]
    healed: int = Field(description="How many were missing once, and came.")


class DayAnswer(BaseModel):
    """What is missing of a day, to be handed in."""

    missing: list[str]


@router.get("/{account_id}/days", responses=problems(NotFound))
async def list_bd_account_days(
    account_id: UUID,
    caller: CurrentCaller,
    unit: Unit,
    page: Page,
    is_incomplete: Annotated[bool, Query(description="Only days of which something is missing.")] = False,
) -> PageOf[DayRead]:
    """How complete each day of an account is, newest first."""
    await accounts.find_account(unit, account_id)
    given = {"account_id": account_id, "is_incomplete": 1 if is_incomplete else None}
    rows, cursor = await read_page(unit, _DAYS, given, page=page)
    return PageOf(items=[DayRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/{account_id}/days/{day}", responses=problems(NotFound, LeaseLost))
async def compare_bd_account_day(
    account_id: UUID, day: Day, body: DayCompare, caller: Connector, unit: Unit
) -> DayAnswer:
    """Compare a day with what is stored; the ledger keeps what was found."""
    wanted = list(dict.fromkeys(body.provider_ids))
    account, [rows, kept] = await accounts.lock_account(
        unit,
        account_id,
        _STORED.bind(account_id=account_id, provider_ids=wanted),
        _KEPT.bind(account_id=account_id, day=day),
    )
    expect_holder(account, body.epoch, unit.now)
    stored = {row.provider_id for row in rows}
    missing = [one for one in wanted if one not in stored]
    before = kept[0] if kept else None
    found = AccountDayCompared(
        account_id=account_id,
        channel=account.channel,
        began_at=datetime.combine(day, time(), UTC),
        provider=len(wanted) + sum(body.filtered.values()) + sum(body.failed.values()),
        stored=len(stored),
        missing=len(missing),
        filtered=sum(body.filtered.values()),
        failed=sum(body.failed.values()),
        healed=before.healed + max(before.missing - len(missing), 0) if before else 0,
    )
    id_, version = (before.id, before.version) if before else (uuid7(), 0)
    if _is_news(before, found, is_over=day < unit.now.date()):
        version += 1
        unit.emit(found, aggregate_id=id_, aggregate_version=version)
    unit.execute(
        _KEEP,
        id=id_,
        day=day,
        version=version,
        checked_at=unit.now,
        **found.model_dump(include={"account_id", "provider", "stored", "missing", "healed"}),
        filtered=body.filtered,
        failed=body.failed,
    )
    return DayAnswer(missing=missing)


def _is_news(before: Row | None, found: AccountDayCompared, *, is_over: bool) -> bool:
    """Whether an event tells of it."""
    if before is None or not before.version:
        return bool(found.provider if is_over else found.missing or found.failed)
    known = before.provider, before.stored, before.missing, before.healed, sum(before.failed.values())
    return known != (found.provider, found.stored, found.missing, found.healed, found.failed)
