"""One unit of work: whole or not at all, in the organization it entered and no other, on connections used again."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import bindparam, select, text
from uuid_utils.compat import uuid7

from api.db.statements import as_pattern, compiled, contains, is_one_of
from api.kernel.constraints import UnknownReference, unknown
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.errors import PreconditionFailed
from api.kernel.listing import Listing
from api.models.company import Company
from contracts.events.envelope import ActorKind
from contracts.events.relations import CompanyCreated
from tests.api.test_conventions import count
from tests.conftest import Database as Urls
from tests.factories import Account

NAMES = compiled(select(Company.name).order_by(Company.id))
ONE = compiled(select(Company).where(Company.id == bindparam("id")).with_for_update())
ANY = compiled(select(Company.name).where(is_one_of(Company.id, "ids")).order_by(Company.id), is_prepared=False)
SLOW = compiled(text("select pg_sleep(:seconds)"))
SETTING = compiled(text("select current_setting('sluice.organization_id', true) as organization_id, current_user"))
LOG = compiled(text("select aggregate_id, occurred_at from event_log order by position"))
BREAK = compiled(text("select 1 / :divisor"))


@pytest_asyncio.fixture
async def database(api_database: Urls) -> AsyncIterator[Database]:
    """A pool of one connection: whatever comes next comes on the same one."""
    opened = Database(api_database.app_url, pool_size=1)
    yield opened
    await opened.close()


def context_of(account: Account) -> Context:
    return Context(
        organization_id=account.organization_id,
        actor=ActorKind.USER,
        actor_id=account.user_id,
        correlation_id=uuid4(),
    )


def company(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": uuid7(), "name": name, "version": 1, **fields}


def created(**facts: Any) -> CompanyCreated:
    return CompanyCreated(**{"owner_id": None, "industry_id": None, "employee_count": None, "country": None} | facts)


class TestWriting:
    async def test_rows_and_events_are_there_after_commit(self, database: Database, owner: Account) -> None:
        context, row = context_of(owner), company("Acme", employee_count=7)
        async with database.unit(context) as unit:
            await unit.begin()
            now = unit.now
            unit.insert(Company, row)
            unit.emit(created(employee_count=7), aggregate_id=row["id"], aggregate_version=1)
        async with database.reading(context) as unit:
            events = compiled(text("select * from event_log where aggregate_id = :id"))
            [found], [event] = await unit.fetch_all(ONE_READ.bind(id=row["id"]), events.bind(id=row["id"]))
        assert (found.name, found.employee_count, found.owner_id) == ("Acme", 7, None)
        assert (event.type, event.data["employee_count"]) == ("company.created", 7)
        assert (event.actor, event.actor_id, event.correlation_id) == ("user", owner.user_id, context.correlation_id)
        assert event.occurred_at == event.recorded_at == now

    async def test_what_is_sent_ahead_is_there_for_the_next_question_and_goes_with_the_rest(
        self, database: Database, owner: Account
    ) -> None:
        context, rows = context_of(owner), [company(f"Acme {number} " + "x" * 180) for number in range(400)]
        async with database.unit(context) as unit:
            await unit.begin()
            for first in range(0, 400, 100):
                unit.insert(Company, *rows[first : first + 100])
                for row in rows[first : first + 100]:
                    unit.emit(created(), aggregate_id=row["id"], aggregate_version=1)
                await unit.send_ahead()
            unit.insert(Company, company("Last"))
            assert len(await unit.fetch(NAMES)) == 401
        async with database.reading(context) as unit:
            assert len(await unit.fetch(LOG)) >= 400

        async def give_up() -> None:
            async with database.unit(context) as unit:
                await unit.begin()
                unit.insert(Company, company("Nobody's"))
                await unit.send_ahead()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await give_up()
        async with database.reading(context) as unit:
            assert len(await unit.fetch(NAMES)) == 401

    async def test_what_is_refused_of_what_was_sent_ahead_is_told_at_the_next_wait(
        self, database: Database, owner: Account
    ) -> None:
        context, row = context_of(owner), company("Acme", owner_id=uuid4())

        async def write() -> None:
            async with database.unit(context) as unit:
                await unit.begin()
                unit.explain({"fk_companies_owner_id": unknown("owner_id", "user")})
                unit.insert(Company, row)
                await unit.send_ahead()
                unit.insert(Company, company("Behind it"))

        with pytest.raises(UnknownReference):
            await write()
        async with database.reading(context) as unit:
            assert await unit.fetch(NAMES) == []

    async def test_many_rows_keep_their_values_and_events_their_order(self, database: Database, owner: Account) -> None:
        strange = 'quotes " and \\ and {braces}, ümläut\n'
        rows = [company(f"{strange}{number}", country=None if number % 2 else "DE") for number in range(5)]
        learned = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        async with database.unit(context_of(owner)) as unit:
            await unit.begin()
            unit.insert(Company, *rows)
            for row in rows:
                unit.emit(created(), aggregate_id=row["id"], aggregate_version=1, occurred_at=learned)
            unit.update(Company, *({"id": row["id"], "name": row["name"].upper(), "version": 2} for row in rows))
            unit.update(Company, {"id": rows[0]["id"], "country": None}, {"id": rows[1]["id"], "domain": "b.example"})
            stored = await unit.fetch(ANY, ids=[row["id"] for row in rows])
            order = await unit.fetch(
                compiled(text("select aggregate_id, occurred_at from event_log order by position"))
            )
        assert [row.name for row in stored] == [row["name"].upper() for row in rows]
        assert [event.aggregate_id for event in order][-5:] == [row["id"] for row in rows]
        assert order[-1].occurred_at == learned
        async with database.reading(context_of(owner)) as unit:
            [first] = await unit.fetch(ONE_READ, id=rows[0]["id"])
            [second] = await unit.fetch(ONE_READ, id=rows[1]["id"])
        assert (first.country, first.domain, second.domain) == (None, None, "b.example")
        assert first.updated_at > first.created_at

    async def test_more_than_a_statement_and_a_socket_hold_is_written_and_read(
        self, database: Database, owner: Account
    ) -> None:
        rows = [company(f"{'long ' * 30}{number}") for number in range(5000)]
        async with database.unit(context_of(owner)) as unit:
            await unit.begin()
            unit.insert(Company, *rows)
            for row in rows:
                unit.emit(created(), aggregate_id=row["id"], aggregate_version=1)
            stored = await unit.fetch(ANY, ids=[row["id"] for row in rows])
        assert [row.name for row in stored] == [row["name"] for row in rows]

    async def test_an_error_leaves_nothing_of_half_a_write(
        self, api_database: Urls, database: Database, owner: Account
    ) -> None:
        row = company("Never")

        async def write() -> None:
            async with database.unit(context_of(owner)) as unit:
                await unit.begin()
                unit.insert(Company, row)
                unit.emit(created(), aggregate_id=row["id"], aggregate_version=1)
                await unit.send()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await write()
        assert count(api_database, "select count(*) from companies where id = %s", row["id"]) == 0
        assert count(api_database, "select count(*) from event_log where aggregate_id = %s", row["id"]) == 0

    async def test_a_statement_that_fails_beside_commit_loses_all_of_it(
        self, api_database: Urls, database: Database, owner: Account
    ) -> None:
        row = company("Never")

        async def write() -> None:
            async with database.unit(context_of(owner)) as unit:
                await unit.begin()
                unit.insert(Company, row)
                unit.execute(BREAK, divisor=0)

        with pytest.raises(psycopg.errors.DivisionByZero):
            await write()
        assert count(api_database, "select count(*) from companies where id = %s", row["id"]) == 0
        async with database.unit(context_of(owner)) as unit:  # with the statements that failed
            unit.insert(Company, row)
            unit.execute(BREAK, divisor=1)
        assert count(api_database, "select count(*) from companies where id = %s", row["id"]) == 1

    async def test_a_violated_constraint_is_explained(self, database: Database, owner: Account) -> None:
        async def write() -> None:
            async with database.unit(context_of(owner)) as unit:
                unit.explain({"fk_companies_owner_id": unknown("owner_id", "active user")})
                unit.insert(Company, company("Acme", owner_id=uuid4()))

        with pytest.raises(UnknownReference):
            await write()

    async def test_two_writers_of_one_version_are_not_both_right(self, database: Database, owner: Account) -> None:
        row = company("Acme")

        async def write() -> None:
            async with database.unit(context_of(owner)) as unit:
                await unit.begin()
                unit.insert(Company, row)
                for _ in range(2):
                    unit.emit(created(), aggregate_id=row["id"], aggregate_version=1)

        with pytest.raises(PreconditionFailed):
            await write()

    async def test_the_clock_is_read_after_the_lock(self, api_database: Urls, owner: Account) -> None:
        database, row, context = Database(api_database.app_url, pool_size=2), company("Acme"), context_of(owner)
        locked = asyncio.Event()

        async def first() -> datetime:
            async with database.unit(context) as unit:
                await unit.fetch(ONE, id=row["id"])
                locked.set()
                await unit.fetch(SLOW, seconds=0.2)
                return unit.now

        async def second() -> datetime:
            await locked.wait()
            async with database.unit(context) as unit:
                await unit.fetch(ONE, id=row["id"])
                return unit.now

        async with database.unit(context) as unit:
            unit.insert(Company, row)
        earlier, later = await asyncio.gather(first(), second())
        assert later > earlier
        await database.close()


class TestReading:
    async def test_nothing_can_be_written(self, database: Database, owner: Account) -> None:
        async with database.reading(context_of(owner)) as unit:
            await unit.fetch(NAMES)
            unit.insert(Company, company("Never"))
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await unit.send()

    async def test_no_connection_is_held_between_waits(self, database: Database, owner: Account) -> None:
        async with database.reading(context_of(owner)) as one, database.reading(context_of(owner)) as other:
            for unit in (one, other, one):
                await asyncio.wait_for(unit.fetch(NAMES), timeout=5)

    async def test_a_list_has_pages_filters_and_literal_wildcards(self, database: Database, owner: Account) -> None:
        listing = Listing(
            select(Company), filters={"q": contains(Company.name, "q")}, order=(Company.id,), newest_first=True
        )
        rows = [company(name) for name in ("50% off", "50 years", "Acme_1", "Acme 1", "a/b")]
        async with database.unit(context_of(owner)) as unit:
            unit.insert(Company, *rows)
        async with database.reading(context_of(owner)) as unit:
            for part, names in {
                "0% O": ["50% off"],
                "e_": ["Acme_1"],
                "/": ["a/b"],
                "acme": ["Acme 1", "Acme_1"],
            }.items():
                [found] = await unit.fetch_all(listing.bind({"q": as_pattern(part)}, after=None, limit=9))
                assert [row.name for row in found] == names
            [page] = await unit.fetch_all(listing.bind({"q": None}, after=None, limit=2))
            [rest] = await unit.fetch_all(listing.bind({}, after=[page[-1].id], limit=9))
        assert [row.name for row in (*page, *rest)] == [row["name"] for row in reversed(rows)]


class TestReusedConnection:
    @pytest.mark.parametrize("ending", ["commit", "error", "cancelled", "refused"])
    async def test_t4_carries_no_organization_over(
        self, database: Database, owner: Account, stranger: Account, ending: str
    ) -> None:
        async with database.unit(context_of(stranger)) as unit:
            unit.insert(Company, company("CANARY"))

        async def end_a_unit(account: Account) -> None:
            async with database.unit(context_of(account)) as unit:
                assert [row.name for row in await unit.fetch(NAMES)] == ["CANARY"]
                if ending == "error":
                    await unit.fetch(BREAK, divisor=0)
                if ending == "refused":
                    unit.insert(Company, company("Acme", owner_id=uuid4()))
                if ending == "cancelled":
                    await unit.fetch(SLOW, seconds=30)

        task = asyncio.create_task(end_a_unit(stranger))
        if ending == "cancelled":
            await asyncio.sleep(0.3)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with database.reading(None) as unit:
            assert await unit.fetch(NAMES) == []
            [setting] = await unit.fetch(SETTING)
            assert (setting.organization_id or "", setting.current_user) == ("", "sluice_app")
        async with database.unit(None) as unit:
            assert await unit.fetch(NAMES) == []
        for kind in (database.reading, database.unit):
            async with kind(context_of(owner)) as unit:
                assert await unit.fetch(NAMES) == []
                assert await unit.fetch(NAMES) == []

    async def test_t4_units_of_two_organizations_at_once_see_their_own(
        self, api_database: Urls, owner: Account, stranger: Account
    ) -> None:
        database = Database(api_database.app_url, pool_size=2)
        accounts = {owner.organization_id: owner, stranger.organization_id: stranger}
        for account in accounts.values():
            async with database.unit(context_of(account)) as unit:
                unit.insert(Company, company(str(account.organization_id)))

        async def look(organization_id: UUID) -> None:
            async with database.reading(context_of(accounts[organization_id])) as unit:
                for _ in range(3):
                    assert [row.name for row in await unit.fetch(NAMES)] == [str(organization_id)]

        await asyncio.gather(*(look(organization_id) for organization_id in list(accounts) * 10))
        await database.close()


ONE_READ = compiled(select(Company).where(Company.id == bindparam("id")))
