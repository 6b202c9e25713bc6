"""`/v1/bd-accounts`: accounts, their states and health, and who works with them."""

from collections import Counter
from uuid import UUID

from fastapi import Response

from api.bd_accounts import connectors, records, rules, x_webhook
from api.bd_accounts.schemas import (
    AccountAssign,
    AccountCreate,
    AccountHealth,
    AccountRead,
    AccountUpdate,
    AssignmentRead,
)
from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, Unit
from api.edge.entitlements import Limit, PlanLimitReached, require_room
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.identity.callers import TheServices
from api.kernel.changes import expect
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from contracts.channels import AccountState, Channel

router = slice_router(prefix="/bd-accounts", tags=["bd-accounts"])
routers = [router, connectors.router, x_webhook.router]

_REFUSALS = (NotFound, PreconditionFailed, PreconditionRequired)


@router.get("")
async def list_bd_accounts(
    caller: CurrentCaller,
    unit: Unit,
    page: Page,
    channel: Channel | None = None,
    state: AccountState | None = None,
    user_id: UUID | None = None,
) -> PageOf[AccountRead]:
    """List accounts, oldest first."""
    given = {"channel": channel, "state": state, "user_id": user_id}
    rows, cursor = await read_page(unit, records.ACCOUNTS, given, page=page)
    return PageOf(items=[AccountRead.model_validate(one) for one in records.states(rows)], next_cursor=cursor)


@router.post("", status_code=201, responses=problems(rules.AddressTaken, UnknownReference, PlanLimitReached))
async def create_bd_account(
    body: AccountCreate, caller: Administrator, unit: Unit, response: Response, services: TheServices
) -> AccountRead:
    """Make an account known. It is `connecting` until its connector says otherwise."""
    await unit.begin()
    await require_room(unit, services.billing, Limit.BD_ACCOUNTS)
    changes = rules.create(unit.now, **body.model_dump())
    records.write_changes(unit, changes)
    made = [change.after for change in changes if isinstance(change.after, rules.Account)][-1]
    response.headers["Location"] = f"/v1/bd-accounts/{made.id}"
    return AccountRead.model_validate(made)


@router.get("/{account_id}", responses=problems(NotFound))
async def read_bd_account(account_id: UUID, caller: CurrentCaller, unit: Unit) -> AccountRead:
    """Read an account."""
    return AccountRead.model_validate(await records.find_account(unit, account_id))


@router.patch("/{account_id}", responses=problems(*_REFUSALS))
async def update_bd_account(
    account_id: UUID, body: AccountUpdate, caller: Administrator, unit: Unit, if_match: IfMatch
) -> AccountRead:
    """Change an account's name, limit or settings."""
    account, _ = await records.lock_account(unit, account_id)
    expect(account, "account", version=if_match)
    changes = rules.update(account, unit.now, **body.model_dump(exclude_unset=True))
    records.write_changes(unit, changes)
    return AccountRead.model_validate(changes[-1].after if changes else account)


@router.post("/{account_id}/assign", responses=problems(NotFound, UnknownReference))
async def assign_bd_account(account_id: UUID, body: AccountAssign, caller: Administrator, unit: Unit) -> AccountRead:
    """Have somebody else work with an account. Who did before stays known."""
    account, present = await records.lock_with_assignment(unit, account_id)
    changes = rules.assign(account, present, unit.now, **body.model_dump())
    records.write_changes(unit, changes)
    return AccountRead.model_validate(changes[0].after if changes else account)


@router.get("/{account_id}/assignments", responses=problems(NotFound))
async def list_bd_account_assignments(
    account_id: UUID, caller: CurrentCaller, unit: Unit, page: Page
) -> PageOf[AssignmentRead]:
    """Who worked with an account when, newest first."""
    await records.find_account(unit, account_id)
    rows, cursor = await read_page(unit, records.HISTORY, {"account_id": account_id}, page=page)
    return PageOf(items=[AssignmentRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/{account_id}/health", responses=problems(NotFound))
async def read_bd_account_health(account_id: UUID, caller: CurrentCaller, unit: Unit) -> AccountHealth:
    """What the provider let an account feel lately, and what that leaves for today."""
    rows, now, *answers = await unit.fetch_all(
        records.ACCOUNT.bind(account_id=account_id), records.CLOCK.bind(), *records.condition(account_id)
    )
    account = records.one(rows)
    condition = records.read_condition(answers)
    at = now[0].now
    return AccountHealth(
        account_id=account_id,
        health=rules.health(condition, at),
        budget=rules.budget(account, condition, at),
        sent_today=condition.sent_today,
        signs=Counter(sign.kind for sign in condition.signs),
        written_to=condition.written_to,
        answered=condition.answered,
    )
