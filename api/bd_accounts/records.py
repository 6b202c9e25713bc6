"""Statements of accounts."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, text

from api.bd_accounts.rules import Account, AddressTaken, Assignment, Condition, Sign
from api.db.statements import compiled, is_one_of
from api.kernel.changes import Change
from api.kernel.constraints import Problems, unknown
from api.kernel.listing import Listing
from api.kernel.resealing import Sealed
from api.kernel.states import as_state, as_states, only, rows_of
from api.kernel.unit_of_work import Bound, Row, UnitOfWork
from api.kernel.writing import write
from api.models.bd_account import BdAccount, BdAccountAssignment, BdAccountSign
from api.models.message import Send

PROBLEMS: Problems = {
    "uq_bd_accounts_address": AddressTaken,
    "fk_bd_accounts_user_id": unknown("user_id", "user"),
    "fk_bd_accounts_team_id": unknown("team_id", "team"),
}
_TABLES = {Account: BdAccount, Assignment: BdAccountAssignment}

_ACCOUNTS = rows_of(Account, BdAccount)
_by_id = BdAccount.id == bindparam("account_id")
ACCOUNT = compiled(_ACCOUNTS.where(_by_id))
#: Whoever writes for an account waits for whoever else does.
LOCKED = compiled(_ACCOUNTS.where(_by_id).with_for_update(key_share=True))
ACCOUNTS = Listing(
    _ACCOUNTS,
    filters={
        "channel": BdAccount.channel == bindparam("channel"),
        "state": BdAccount.state == bindparam("state"),
        "user_id": BdAccount.user_id == bindparam("user_id"),
        "users": is_one_of(BdAccount.user_id, "users"),
    },
    order=(BdAccount.id,),
)
_times = rows_of(Assignment, BdAccountAssignment).where(BdAccountAssignment.account_id == bindparam("account_id"))
_PRESENT = compiled(_times.where(BdAccountAssignment.ended_at.is_(None)))
HISTORY = Listing(
    rows_of(Assignment, BdAccountAssignment),
    filters={"account_id": BdAccountAssignment.account_id == bindparam("account_id")},
    order=(BdAccountAssignment.id,),
    newest_first=True,
)
SECRET = compiled(
    select(BdAccount.secret, BdAccount.cursor).where(BdAccount.organization_id == bindparam("organization_id"), _by_id)
)
CLOCK = compiled(select(func.clock_timestamp().label("now")))
_SIGNS_OF_WEEK = compiled(
    select(BdAccountSign.kind, BdAccountSign.created_at).where(
        BdAccountSign.organization_id == bindparam("organization_id"),
        BdAccountSign.account_id == bindparam("account_id"),
        BdAccountSign.created_at > func.now() - text("interval '7 days'"),
    )
)
_SENT_TODAY = compiled(
    select(func.count().label("sent")).where(
        Send.organization_id == bindparam("organization_id"),
        Send.account_id == bindparam("account_id"),
        Send.claimed_at > func.now() - text("interval '1 day'"),
    )
)
#: Of the last hundred conversations that the account wrote into, those who had two days to answer, and who did.
_ANSWERS = compiled(
    text("""
with asked as (
    select m.conversation_id, min(m.occurred_at) as at from (
        select message_id from sends
        where organization_id = :organization_id and account_id = :account_id and state = 'sent'
          and claimed_at between now() - interval '30 days' and now() - interval '2 days'
        order by claimed_at desc limit 100
    ) s join messages m on m.organization_id = :organization_id and m.id = s.message_id
    group by m.conversation_id
)
select count(*) as written_to, count(*) filter (where exists (
    select from messages r
    where r.organization_id = :organization_id and r.conversation_id = asked.conversation_id
      and r.direction = 'in' and r.kind = 'message' and r.occurred_at > asked.at
)) as answered from asked
""")
)


async def find_account(unit: UnitOfWork, account_id: UUID) -> Account:
    """One account.

    Raises:
        NotFound: no such account here.
    """
    return only(Account, await unit.fetch(ACCOUNT, account_id=account_id), "account")


async def lock_account(unit: UnitOfWork, account_id: UUID, *more: Bound) -> tuple[Account, list[list[Row]]]:
    """One account, locked until the transaction ends, and what more is asked for.

    Raises:
        NotFound: no such account here.
    """
    rows, *answers = await unit.fetch_all(LOCKED.bind(account_id=account_id), *more)
    return only(Account, rows, "account"), answers


async def lock_with_assignment(unit: UnitOfWork, account_id: UUID) -> tuple[Account, Assignment | None]:
    """One account and who works with it, locked."""
    account, [present] = await lock_account(unit, account_id, _PRESENT.bind(account_id=account_id))
    return account, as_state(Assignment, present[0]) if present else None


def condition(account_id: UUID) -> tuple[Bound, ...]:
    """What `read_condition` reads, for `fetch_all`."""
    return tuple(one.bind(account_id=account_id) for one in (_SIGNS_OF_WEEK, _SENT_TODAY, _ANSWERS))


def read_condition(answers: list[list[Row]]) -> Condition:
    """How the account does."""
    signs, [sent], [people] = answers
    felt = [Sign(row.kind, row.created_at) for row in signs]
    return Condition(felt, sent.sent, people.written_to, people.answered)


def write_changes(unit: UnitOfWork, changes: list[Change[Any]]) -> None:
    """Queue what was decided."""
    unit.explain(PROBLEMS)
    write(unit, changes, _TABLES)


def note_sign(unit: UnitOfWork, account_id: UUID, kind: str, *, id: UUID, seconds: int | None = None) -> None:  # noqa: A002 # reads as the column
    """Queue what a provider let an account feel."""
    unit.insert(BdAccountSign, {"id": id, "account_id": account_id, "kind": kind, "seconds": seconds})


def hold(unit: UnitOfWork, account: Account) -> None:
    """Queue a lease: no fact about the account, so no version of it."""
    unit.update(
        BdAccount,
        {
            "id": account.id,
            "epoch": account.epoch,
            "lease_holder": account.lease_holder,
            "lease_until": account.lease_until,
        },
    )


def purpose_of(account_id: UUID) -> str:
    """What an account's secret is sealed for."""
    return f"bd_account:{account_id}"


SEALED = Sealed("bd_accounts", "id", ("secret",), purpose_of)


def keep_secret(unit: UnitOfWork, account_id: UUID, sealed: bytes | None) -> None:
    """Queue an account's sealed secret."""
    unit.update(BdAccount, {"id": account_id, "secret": sealed})


def keep_cursor(unit: UnitOfWork, account_id: UUID, cursor: dict[str, Any]) -> None:
    """Queue how far an account was read."""
    unit.update(BdAccount, {"id": account_id, "cursor": cursor})


def one(rows: list[Row]) -> Account:
    """The account of an answer.

    Raises:
        NotFound: no such account here.
    """
    return only(Account, rows, "account")


def states(rows: list[Row]) -> list[Account]:
    """Rows of a list, as states."""
    return as_states(Account, rows)


def until_of(seconds: int | None, now: datetime) -> datetime | None:
    """The instant at which a wait of so many seconds ends."""
    return None if seconds is None else now + timedelta(seconds=seconds)
