"""Contacts and companies can lie in the recycle bin, and be changed in bulk.

What lies in the bin is hidden by PostgreSQL itself: whatever statement does not open the bin does not see it. What has
to be unique or would be found (`binned`: an id of another system, addresses, unique values) is put aside meanwhile.
"""

from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

_TABLES = ("contacts", "companies")
_NAMING = {"contacts": ("email", "phone"), "companies": ("domain",)}
_IS_SHOWN = "(deleted_at is null or current_setting('sluice.bin', true) = 'open')"


def _kinds(kinds: str) -> str:
    return f"""
-- squawk-ignore ban-drop-constraint -- it is there again, wider, before anybody sees it gone
alter table bulk_jobs drop constraint bulk_jobs_kind_check;
-- squawk-ignore constraint-missing-not-valid -- there are few jobs
alter table bulk_jobs add constraint bulk_jobs_kind_check check (kind in ({kinds}));
"""


def upgrade() -> None:
    """Apply."""
    for table in _TABLES:
        op.execute(f"""
alter table {table} add column deleted_at timestamptz, add column binned jsonb;
create policy bin on {table} as restrictive for all to sluice_app using {_IS_SHOWN} with check {_IS_SHOWN};
create policy worker on {table} for select to sluice_worker
    using (binned is not null and deleted_at < now() - interval '90 days');
grant select (organization_id, deleted_at) on {table} to sluice_worker;
""")
    op.execute("""
-- squawk-ignore ban-drop-not-null -- an item without a deal is of a kind of job that the version before does not make
alter table bulk_items alter column deal_id drop not null, add column record_id uuid
""")
    op.execute(_kinds("'deal', 'contact', 'company'"))


def downgrade() -> None:
    """Take it back. The version before would show what lies in the bin: so only its id stays, as after 90 days."""
    for table, columns in _NAMING.items():
        op.execute(f"""
alter table {table} no force row level security;
update {table} set name = '(deleted)', custom = '{{}}', {", ".join(f"{one} = null" for one in columns)}
where binned is not null;
alter table {table} force row level security;
""")
    op.execute("""
alter table bulk_jobs no force row level security;
delete from bulk_jobs where kind <> 'deal';
alter table bulk_jobs force row level security;
""")
    op.execute(_kinds("'deal'"))
    op.execute("alter table bulk_items drop column record_id, alter column deal_id set not null")
    for table in _TABLES:
        op.execute(f"""
revoke select (organization_id, deleted_at) on {table} from sluice_worker;
drop policy worker on {table};
drop policy bin on {table};
alter table {table} drop column deleted_at, drop column binned;
""")
