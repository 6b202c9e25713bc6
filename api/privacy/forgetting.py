"""Deletes an organization whose time has come: who gets in first, then what it is charged, then all of its rows.

Every step may be taken twice, and a worker that dies leaves the rest to the next one. Rows go in batches, each a
transaction, those first that others refer to no more; PostgreSQL's catalogue says which tables there are, so that none
is forgotten. What other workers write meanwhile is found by another round, and the organization's own row goes last.
"""

import asyncio
import logging
import shutil
import threading
from collections.abc import Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from uuid import UUID

import psycopg
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.billing.provider import Provider
from api.db.statements import compiled
from api.edge.consumer import acting_in
from api.edge.mail import Mail, Mailer, MailNotSentError
from api.files.content import folder_of
from api.identity import people
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.errors import CrmError
from api.kernel.unit_of_work import Row, UnitOfWork
from api.organizations import records as organizations
from api.organizations.rules import announce
from contracts.addresses import spelled
from contracts.events.envelope import ActorKind
from contracts.events.identity import OrganizationDeleted
from contracts.settings import BillingSettings

_log = logging.getLogger(__name__)

#: Rows of one transaction.
AT_ONCE = 2_000
#: Whoever cannot be told of the end by then is not.
_TOLD_WITHIN = "7 days"
#: In this order after all others: an event waits for its publication, the organization for everything.
_LAST = ("event_log", "organizations")
_KEPT = ("organization_deletions",)

_DUE = compiled(
    text("""
select organization_id from organization_deletions
where finished_at is null and due_at <= clock_timestamp() order by due_at
""")
)
_IS_TO_BEGIN = compiled(
    text("select 1 as is_so from organization_deletions where organization_id = :organization_id and began_at is null")
)
_BEGIN = compiled(
    text("""
update organization_deletions as d set began_at = clock_timestamp(), owners = :owners, people = :people
where organization_id = :organization_id and began_at is null and due_at <= clock_timestamp() returning 1 as begun
""")
)
_MEMBERS = compiled(
    text("""
select array_agg(distinct person_id) as people,
    coalesce(array_agg(email) filter (where role = 'owner' and is_active), '{}') as owners
from users where organization_id = :organization_id
""")
)
_SHUT = tuple(
    compiled(text(statement))
    for statement in (
        "update users set is_active = false where organization_id = :organization_id",
        "delete from sessions where organization_id = :organization_id",
        "update api_keys set revoked_at = clock_timestamp() where organization_id = :organization_id",
    )
)
_CUSTOMER = compiled(text("select provider_customer_id from billing_customers where organization_id = :for_id"))
_TABLES = compiled(
    text("""
select c.relname as name, array(
    select t.relname::text from pg_constraint as k join pg_class as t on t.oid = k.confrelid
    where k.conrelid = c.oid and k.contype = 'f' and k.confrelid <> c.oid
) as refers_to
from pg_class as c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    and exists (select from pg_attribute as a
        where a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped)
""")
)
_FORGET = compiled(text("select forget_rows(:for_id, :name, :most) as removed"))
_IS_THERE = compiled(text("select 1 as is_there from organizations"))
_PEOPLE = compiled(text("select people from organization_deletions where organization_id = :for_id"))
_FINISH = compiled(
    text("""
update organization_deletions set finished_at = clock_timestamp(), people = '{}'
where organization_id = :for_id and finished_at is null
""")
)
_TO_TELL = compiled(
    text(f"""
select organization_id, owners, began_at, finished_at, removed,
    finished_at < clock_timestamp() - interval '{_TOLD_WITHIN}' as is_late
from organization_deletions where finished_at is not null and owners <> '{{}}'
""")
)
_TOLD = compiled(text("update organization_deletions set owners = :owners where organization_id = :for_id"))


async def forget_due(database: Database, files_path: Path, billing: BillingSettings, stop: threading.Event) -> None:
    """Take every organization that is due as far as it goes now."""
    async with database.unit(None) as unit:
        due = await unit.fetch(_DUE)
    for one in due:
        try:
            await _forget(database, one.organization_id, files_path, billing, stop)
        except (psycopg.Error, CrmError, OSError) as error:  # what one waits for keeps no other waiting
            _log.warning("the deletion of %s waits: %s", one.organization_id, error)


async def _forget(
    database: Database, organization_id: UUID, files_path: Path, billing: BillingSettings, stop: threading.Event
) -> None:
    await _begin(database, organization_id)
    await _stop_charging(database, organization_id, billing)
    if await _forget_rows(database, organization_id, stop) and await _finish(database, organization_id, files_path):
        _log.warning("organization %s was deleted", organization_id)


async def _begin(database: Database, organization_id: UUID) -> None:
    """Let nobody in any more, and say so. Whoever is to be told, and might belong nowhere, is remembered."""
    context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
    async with acting_in(database, context) as unit:
        if not await unit.fetch(_IS_TO_BEGIN):
            return
        organization = await organizations.lock_organization(unit)
        [members] = await unit.fetch(_MEMBERS)
        _as_worker(unit)
        begun = await unit.fetch(_BEGIN, owners=list(members.owners), people=list(members.people or ()))
        _as_app(unit)
        if begun:  # nobody cancelled it meanwhile
            for statement in _SHUT:
                unit.execute(statement)
            organizations.write_change(unit, announce(organization, unit.now, OrganizationDeleted()))


_WORKER = compiled(text("select set_config('role', 'none', true)"))
_APP = compiled(text("select set_config('role', 'sluice_app', true)"))


def _as_worker(unit: UnitOfWork) -> None:
    unit.execute(_WORKER)


def _as_app(unit: UnitOfWork) -> None:
    unit.execute(_APP)


async def _stop_charging(database: Database, organization_id: UUID, settings: BillingSettings) -> None:
    """End what is paid for: before it is forgotten whose it is."""
    if not settings.is_billing_on:
        return
    async with database.unit(None) as unit:
        found = await unit.fetch(_CUSTOMER, for_id=organization_id)
    if found:
        async with Provider(settings) as provider:
            await provider.cancel_all(found[0].provider_customer_id)


async def _forget_rows(database: Database, organization_id: UUID, stop: threading.Event) -> bool:
    """Delete what there is; whether that was all of it but for what waits: events that are not published yet."""
    async with database.unit(None) as unit:
        tables = in_order(await unit.fetch(_TABLES))
    for name in tables:
        removed = 1
        while removed:  # fewer than asked for may be those alone that others of their table refer to no more
            if stop.is_set():
                return False
            try:
                async with database.unit(None) as unit:
                    [done] = await unit.fetch(_FORGET, for_id=organization_id, name=name, most=AT_ONCE)
            except psycopg.errors.ForeignKeyViolation:  # somebody wrote meanwhile: the next round
                return False
            removed = done.removed
    return True


def in_order(tables: Sequence[Row]) -> list[str]:
    """Names of tables, those first that no other refers to."""
    names = {table.name for table in tables}
    graph = {table.name: names & set(table.refers_to) for table in tables}
    ordered = [name for name in TopologicalSorter(graph).static_order() if name not in (*_KEPT, *_LAST)]
    return [*reversed(ordered), *_LAST]


async def _finish(database: Database, organization_id: UUID, files_path: Path) -> bool:
    """What lies elsewhere: files, and people who belong nowhere any more. False where the organization is not gone."""
    context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
    async with acting_in(database, context) as unit:
        if await unit.fetch(_IS_THERE):
            return False
    for folder in (folder_of(files_path, organization_id), files_path / str(organization_id)):
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    async with database.unit(None) as unit:
        [found] = await unit.fetch(_PEOPLE, for_id=organization_id)
    async with acting_in(database, context) as unit:
        await people.forget(unit, list(found.people))
        _as_worker(unit)
        unit.execute(_FINISH, for_id=organization_id)
    return True


async def tell_owners(database: Database, mailer: Mailer) -> None:
    """Send the receipt to who were owners, and forget their addresses: when all have it, or after a week."""
    async with database.unit(None) as unit:
        found = await unit.fetch(_TO_TELL)
    for one in found:
        left = [] if one.is_late or not mailer.is_configured else await _tell(mailer, one)
        async with database.unit(None) as unit:
            unit.execute(_TOLD, for_id=one.organization_id, owners=left)


async def _tell(mailer: Mailer, receipt: Row) -> list[str]:
    """Whom the mail did not reach yet."""
    left = []
    for email in receipt.owners:
        message_id = f"<deleted-{receipt.organization_id}@sluice.invalid>"
        try:
            await mailer.send(Mail(spelled(email), "Your organization was deleted", told(receipt), message_id))
        except MailNotSentError as error:
            if not error.is_final:
                left.append(email)
    return left


def told(receipt: Row) -> str:
    """The receipt, for people."""
    rows = "".join(f"  {name}: {number:,}\n" for name, number in sorted(receipt.removed.items()))
    return (
        f"Organization {receipt.organization_id} was deleted between {receipt.began_at:%Y-%m-%d %H:%M} and"
        f" {receipt.finished_at:%Y-%m-%d %H:%M} UTC, with its files, keys and sign-ins. Removed rows:\n\n{rows}"
        "\nThe warehouse forgets its events within the hour. Kafka and backups keep what they hold until it ends by its"
        " age; Kafka holds ids and facts alone. This receipt, which names nobody, stays.\n"
    )
