"""Alarms of an organization's accounts: messages that are at a provider and not here, and accounts that do not work.

Connectors repair what is missing as they find it; what stays for minutes needs a person.
"""

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.unit_of_work import Row, UnitOfWork
from api.metrics.pipeline import Alarm

_WRONG = compiled(
    text("""
select (select count(*) from bd_account_days d
        where d.organization_id = :organization_id and d.day > current_date - 8
          and (d.missing > 0 or d.failed <> '{}')) as days,
       (select count(*) from bd_accounts a
        where a.organization_id = :organization_id
          and (a.state in ('limited', 'banned') or a.reason in ('unreachable', 'sign_in_refused'))) as accounts
""")
)


async def alarms(unit: UnitOfWork) -> list[Alarm]:
    """What is wrong with the accounts of the caller's organization now."""
    [row] = await unit.fetch(_WRONG)
    return [*_missing(row), *_broken(row)]


def _missing(row: Row) -> list[Alarm]:
    if not row.days:
        return []
    message = f"Of {row.days} days of accounts not all is here that the provider has."
    advice = (
        "Connectors try again each minute. The page Accounts says which messages, and why they could not be taken in."
    )
    return [Alarm(name="messages_are_missing", message=message, advice=advice)]


def _broken(row: Row) -> list[Alarm]:
    if not row.accounts:
        return []
    message = f"{row.accounts} accounts do not work, or only with limits."
    advice = "The page Accounts says what each of them waits for; an administrator can see to it there."
    return [Alarm(name="accounts_do_not_work", message=message, advice=advice)]
