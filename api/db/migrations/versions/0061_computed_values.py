"""What is computed of a record is kept beside it; a job computes it anew where a definition changed."""

from alembic import op

revision = "0061"
down_revision = "0059"
branch_labels = None
depends_on = None

_KINDS = ("deals", "contacts", "companies")
_COLUMNS = "".join(
    f"""
alter table {kind}
    add column computed jsonb,
    add column computed_told jsonb,
    add column computed_version bigint;
"""
    for kind in _KINDS
)
_JOB = """
alter table custom_fields
    add column computing_since bigint,
    add column computing_after uuid,
    add column computing_done bigint not null default 0,
    add column computing_total bigint;
create policy worker on custom_fields for select to sluice_worker using (computing_since is not null);
grant select (organization_id, id, type, computing_since) on custom_fields to sluice_worker;
-- whoever writes looks whether anything is computed, also while it signs somebody in, where nothing is seen
grant select (organization_id, type) on custom_fields to sluice_auth;
"""
_BEGIN = "update custom_fields set computing_since = 0 where type = 'computed' and not is_retired"


def upgrade() -> None:
    """Add the columns; what is computed today is computed by the job."""
    op.execute(_COLUMNS)
    op.execute(_JOB)
    op.execute(_BEGIN)


def downgrade() -> None:
    """Drop them: nothing else depends on them."""
    op.execute("drop policy worker on custom_fields")
    op.execute("revoke select on custom_fields from sluice_worker, sluice_auth")
    op.execute(
        "alter table custom_fields drop column computing_since, drop column computing_after,"
        " drop column computing_done, drop column computing_total"
    )
    for kind in _KINDS:
        op.execute(f"alter table {kind} drop column computed, drop column computed_told, drop column computed_version")
