"""Every column that may hold a text is declared: to hold something of contacts, or nothing."""

import psycopg

from api.privacy.declared import DECLARED
from tests.conftest import Database

_TEXTS = """
select c.relname, a.attname from pg_attribute as a join pg_class as c on c.oid = a.attrelid
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
    and format_type(a.atttypid, null) in ('text', 'text[]', 'jsonb', 'bytea', 'character varying', 'inet')
    and exists (select from pg_attribute as o where o.attrelid = c.oid and o.attname = 'organization_id')
"""


def test_each_text_column_of_a_tenant_table_is_declared(api_database: Database) -> None:
    with psycopg.connect(api_database.admin_url) as admin:
        found = admin.execute(_TEXTS).fetchall()
    undeclared = [
        f"{table}.{column}"
        for table, column in found
        if table not in DECLARED or not (DECLARED[table].goes or column in DECLARED[table].columns)
    ]
    assert not undeclared, "declare them in api/privacy/declared.py: does an erasure have to empty them?"


def test_nothing_is_declared_that_does_not_exist(api_database: Database) -> None:
    with psycopg.connect(api_database.admin_url) as admin:
        columns = "select table_name, column_name from information_schema.columns where table_schema = 'public'"
        found = set(admin.execute(columns).fetchall())
    gone = [f"{table}.{one}" for table, declared in DECLARED.items() for one in declared.columns]
    assert not {name for name in gone if tuple(name.split(".")) not in found}
