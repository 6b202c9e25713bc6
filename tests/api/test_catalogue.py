"""T-1: what PostgreSQL's catalogue says of isolation. Read from it, so a new table is covered the day it is made."""

import uuid
from typing import Any, LiteralString

import psycopg
import pytest

from tests.conftest import Database

OURS = ("sluice_owner", "sluice_app", "sluice_relay", "sluice_worker", "sluice_auth", "sluice_search", "sluice_backup")

#: Tables that hold nothing of one organization, and why they need no organization_id.
GLOBAL_TABLES = {
    "people": "who signs in; seen by sluice_auth alone",
    "proven_addresses": "of people; seen by sluice_auth alone",
    "identities": "of people; seen by sluice_auth alone",
    "second_factors": "of people; seen by sluice_auth alone",
    "rate_limits": "allowances of addresses, accounts and keys, by a digest",
    "transport_epoch": "the broker's",
    "alembic_version": "the schema's",
    "process_status": "heartbeats of processes",
    "stripe_events": "what Stripe delivered, before it is known whose it is",
    "outbox": "ids and places of events; the relay's alone",
    "transport_progress": "the broker's",
    "consumers": "the progress of processes",
    "live_progress": "how far the log is numbered",
}

# event_log's position is a sequence of its own; organizations are keyed by the tenant's id itself
TENANT_TABLES: LiteralString = """
    select c.oid, c.relname as name, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner) as owner
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relkind in ('r', 'p')
        and exists (select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'organization_id'
            and not a.attisdropped)
"""


@pytest.fixture(scope="module")
def rows(api_database: Database) -> Any:
    """Runs a query on the catalogue."""
    with psycopg.connect(api_database.admin_url, row_factory=psycopg.rows.dict_row) as admin:

        def run(query: LiteralString) -> list[dict[str, Any]]:
            return admin.execute(query).fetchall()

        yield run


def test_t1_every_table_is_of_a_tenant_or_listed_here(rows: Any) -> None:
    tables = {row["tablename"] for row in rows("select tablename from pg_tables where schemaname = 'public'")}
    assert tables - {row["name"] for row in rows(TENANT_TABLES)} == set(GLOBAL_TABLES)


def test_t1_tenant_tables_force_row_level_security_and_belong_to_the_owner_role(rows: Any) -> None:
    found = rows(TENANT_TABLES)
    assert len(found) >= 15
    for table in found:
        assert table["relrowsecurity"], table["name"]
        assert table["relforcerowsecurity"], table["name"]
        assert table["owner"] == "sluice_owner", table["name"]


def test_t1_tenant_tables_have_a_policy_that_reads_and_checks_the_organization(rows: Any) -> None:
    policies = rows("select * from pg_policies where schemaname = 'public' and policyname = 'tenant'")
    by_table = {policy["tablename"]: policy for policy in policies}
    for table in rows(TENANT_TABLES):
        policy = by_table[table["name"]]
        assert policy["cmd"] == "ALL"
        for clause in ("qual", "with_check"):
            assert "organization_id = ( SELECT (NULLIF(current_setting('sluice.organization_id'" in policy[clause]


def test_t1_policies_that_see_everything_are_for_roles_with_one_task(rows: Any) -> None:
    # a restrictive one only takes away from what others let through
    for policy in rows("""
        select * from pg_policies
        where schemaname = 'public' and policyname <> 'tenant' and permissive = 'PERMISSIVE'
    """):
        roles = set(policy["roles"])
        assert roles <= {
            "{sluice_auth}",
            "{sluice_relay}",
            "sluice_auth",
            "sluice_relay",
            "sluice_worker",
            "sluice_search",
        } or (policy["policyname"], policy["cmd"], roles) == ("figures", "SELECT", {"sluice_owner"}), policy


def test_t1_foreign_keys_between_tenant_tables_carry_the_organization(rows: Any) -> None:
    tenant = {row["name"] for row in rows(TENANT_TABLES)}
    keys = rows("""
        select c.conname, s.relname as source, t.relname as target,
            array(select a.attname::text from unnest(c.conkey) as k join pg_attribute as a
                on a.attrelid = c.conrelid and a.attnum = k) as columns
        from pg_constraint as c join pg_class as s on s.oid = c.conrelid join pg_class as t on t.oid = c.confrelid
        where c.contype = 'f'
    """)
    between = [key for key in keys if key["source"] in tenant and key["target"] in tenant]
    assert len(between) >= 20
    for key in between:
        assert "organization_id" in key["columns"], key["conname"]


def test_t1_unique_indexes_tell_nothing_of_other_tenants(rows: Any) -> None:
    indexes = rows("""
        select i.indexrelid::regclass::text as name, t.relname as table_name,
            array(select a.attname::text from unnest(i.indkey) as k join pg_attribute as a
                on a.attrelid = i.indrelid and a.attnum = k) as columns
        from pg_index as i join pg_class as t on t.oid = i.indrelid
        join pg_namespace as n on n.oid = t.relnamespace
        where i.indisunique and n.nspname = 'public'
    """)
    tenant = {row["name"] for row in rows(TENANT_TABLES)}
    # made by us alone, never by a caller: they cannot be guessed into a collision
    ours = {"event_log_pkey", "uq_event_log_event_id"}
    for index in indexes:
        if index["table_name"] in tenant and index["name"] not in ours:
            assert "organization_id" in index["columns"], index["name"]


def test_t1_roles_bypass_nothing(rows: Any) -> None:
    roles = rows("select * from pg_roles where rolname like 'sluice%'")
    assert {role["rolname"] for role in roles} >= set(OURS)
    for role in roles:
        for power in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication"):
            # the backup role copies the cluster; it reads no table of an organization
            is_allowed = (role["rolname"], power) == ("sluice_backup", "rolreplication")
            assert not role[power] or is_allowed, (role["rolname"], power)
    memberships = rows("""
        select r.rolname as granted, m.rolname as member, a.inherit_option
        from pg_auth_members as a join pg_roles as r on r.oid = a.roleid join pg_roles as m on m.oid = a.member
        where m.rolname like 'sluice%'
    """)
    assert {(row["granted"], row["member"], row["inherit_option"]) for row in memberships} == {
        ("sluice_auth", "sluice_app", False),
        ("sluice_app", "sluice_worker", False),
        ("sluice_search", "sluice_owner", False),
    }


def test_t1_there_are_no_views_that_run_as_somebody_else(rows: Any) -> None:
    views = rows(
        "select relname, reloptions from pg_class where relkind in ('v', 'm') and relnamespace = 'public'::regnamespace"
    )
    assert [view for view in views if "security_invoker=true" not in (view["reloptions"] or [])] == []


def test_t1_functions_that_run_as_the_owner_have_one_task_and_a_fixed_search_path(rows: Any) -> None:
    functions = rows("""
        select p.proname, p.proconfig, p.proacl::text from pg_proc as p
        where p.prosecdef and p.pronamespace = 'public'::regnamespace
            and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
    """)
    callers = {function["proname"]: function["proacl"] for function in functions}
    assert callers == {
        # answers ids of documents in the organization of the transaction
        "find_documents": "{sluice_search=X/sluice_search,sluice_app=X/sluice_search}",
        "enqueue_events": "{sluice_owner=X/sluice_owner}",  # a trigger: nobody calls it
        # what an organization leaves behind, once its deletion has begun: the worker's alone
        "forget_rows": "{sluice_owner=X/sluice_owner,sluice_worker=X/sluice_owner}",
        # counts of messages by channel, of all organizations together, for operators
        "channel_completeness": "{sluice_owner=X/sluice_owner,sluice_app=X/sluice_owner}",
        "extend_outbox": "{sluice_owner=X/sluice_owner,sluice_relay=X/sluice_owner}",
        "shrink_outbox": "{sluice_owner=X/sluice_owner,sluice_relay=X/sluice_owner}",
    }
    for function in functions:
        paths = [one for one in function["proconfig"] if one.startswith("search_path=")]
        # somebody's temporary table is never meant
        assert set(paths) <= {"search_path=pg_catalog, public", "search_path=pg_catalog, public, pg_temp"}
        assert paths, function["proname"]


def test_t1_without_an_organization_every_table_is_empty_and_closed(api_database: Database, rows: Any) -> None:
    with psycopg.connect(api_database.app_url, autocommit=True) as app:
        for table in rows(TENANT_TABLES):
            query = psycopg.sql.SQL("select count(*) from {}").format(psycopg.sql.Identifier(table["name"]))
            assert app.execute(query).fetchone() == (0,), table["name"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("select * from people")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(
                "insert into picklist_values (organization_id, id, picklist, label) values (%s, %s, 'source', 'x')",
                (uuid.uuid4(), uuid.uuid4()),
            )


def test_t1_the_app_cannot_change_the_event_log_nor_see_the_outbox(api_database: Database) -> None:
    statements: tuple[LiteralString, ...] = (
        "update event_log set depth = 9",
        "delete from event_log",
        "truncate event_log",
        "select * from outbox",
        "insert into outbox (position) values (1)",
        "select * from outbox_partitions.outbox_rest",
        "select shrink_outbox(now(), '[]')",
    )
    with psycopg.connect(api_database.app_url, autocommit=True) as app:
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)
