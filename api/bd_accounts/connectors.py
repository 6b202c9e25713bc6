"""What connectors ask of `/v1/bd-accounts`: to hold an account, to sign in with its secret, to say how they find it."""

import json
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from uuid_utils.compat import uuid7

from api.bd_accounts import records, rules
from api.bd_accounts.schemas import (
    AccountRead,
    Connection,
    CursorWrite,
    Holding,
    LeaseAsk,
    LeaseRead,
    SecretWrite,
    StateReport,
)
from api.edge.dependencies import Administrator, Unit, require
from api.edge.routing import problems, slice_router
from api.edge.services import services_of
from api.kernel.caller import Caller
from api.kernel.errors import NotFound
from api.kernel.secrets import Secrets
from api.kernel.unit_of_work import UnitOfWork
from contracts.access import Role
from contracts.channels import AccountState

router = slice_router(prefix="/bd-accounts", tags=["connectors"])

#: The process that speaks with the provider.
Connector = Annotated[Caller, Depends(require(Role.OWNER, Role.ADMIN))]


async def _secrets(request: Request) -> Secrets:
    return Secrets.of(services_of(request).settings)


SecretsOfAccounts = Annotated[Secrets, Depends(_secrets)]


@router.post("/{account_id}/state", responses=problems(NotFound, rules.StateNotAllowed, rules.StillWaiting))
async def report_bd_account(account_id: UUID, body: StateReport, caller: Connector, unit: Unit) -> AccountRead:
    """Say how the account is found; `revoked` disconnects it."""
    account, _ = await records.lock_account(unit, account_id)
    until = records.until_of(body.seconds, unit.now)
    changes = rules.report(account, body.state, unit.now, reason=body.reason, until=until)
    records.write_changes(unit, changes)
    if changes and body.state in (AccountState.LIMITED, AccountState.FLOOD_WAIT):
        records.note_sign(unit, account_id, body.reason or body.state.value, id=uuid7(), seconds=body.seconds)
    return AccountRead.model_validate(changes[-1].after if changes else account)


@router.post("/{account_id}/lease", responses=problems(NotFound, rules.AccountHeld, rules.StateNotAllowed))
async def lease_bd_account(account_id: UUID, body: LeaseAsk, caller: Connector, unit: Unit) -> LeaseRead:
    """Hold an account, or go on holding it: one connector at a time speaks with the provider for it."""
    account, _ = await records.lock_account(unit, account_id)
    held = rules.lease(account, body.holder, unit.now)
    records.hold(unit, held)
    return LeaseRead(account_id=account_id, epoch=held.epoch, until=unit.now + rules.LEASE)


@router.delete("/{account_id}/lease/{epoch}", status_code=204, responses=problems(NotFound, rules.LeaseLost))
async def release_bd_account(account_id: UUID, epoch: int, caller: Connector, unit: Unit) -> None:
    """Hold an account no longer."""
    account, _ = await records.lock_account(unit, account_id)
    rules.expect_holder(account, epoch, unit.now)
    records.hold(unit, rules.release(account, unit.now))


@router.post("/{account_id}/connection", responses=problems(NotFound, rules.LeaseLost))
async def read_bd_account_connection(
    account_id: UUID, body: Holding, caller: Connector, unit: Unit, secrets: SecretsOfAccounts
) -> Connection:
    """What it takes to sign in, for whoever holds the account, and how far it was read."""
    account, [rows] = await records.lock_account(unit, account_id, records.SECRET.bind(account_id=account_id))
    rules.expect_holder(account, body.epoch, unit.now)
    return Connection(
        account=AccountRead.model_validate(account),
        secret=opened(secrets, unit, account_id, rows[0].secret),
        cursor=rows[0].cursor,
    )


@router.post("/{account_id}/cursor", status_code=204, responses=problems(NotFound, rules.LeaseLost))
async def keep_bd_account_cursor(account_id: UUID, body: CursorWrite, caller: Connector, unit: Unit) -> None:
    """Say how far the account was read."""
    account, _ = await records.lock_account(unit, account_id)
    rules.expect_holder(account, body.epoch, unit.now)
    records.keep_cursor(unit, account_id, body.cursor)


@router.post("/{account_id}/secret", responses=problems(NotFound))
async def keep_bd_account_secret(
    account_id: UUID, body: SecretWrite, caller: Administrator, unit: Unit, secrets: SecretsOfAccounts
) -> AccountRead:
    """Give parts of an account's secret: a password, a code, a session; null takes one away. None is ever shown."""
    account, [rows] = await records.lock_account(unit, account_id, records.SECRET.bind(account_id=account_id))
    values = {**opened(secrets, unit, account_id, rows[0].secret), **body.values}
    kept = json.dumps({name: value for name, value in values.items() if value is not None})
    sealed = secrets.seal(unit.context.organization_id, records.purpose_of(account_id), kept)
    [change] = rules.change_secret(account, unit.now)
    records.write_changes(unit, [change])
    records.keep_secret(unit, account_id, sealed)
    return AccountRead.model_validate(change.after)


def opened(secrets: Secrets, unit: UnitOfWork, account_id: UUID, sealed: bytes | None) -> dict[str, Any]:
    """The parts of an account's secret."""
    if sealed is None:
        return {}
    found: dict[str, Any] = json.loads(
        secrets.open_sealed(unit.context.organization_id, records.purpose_of(account_id), bytes(sealed))
    )
    return found
