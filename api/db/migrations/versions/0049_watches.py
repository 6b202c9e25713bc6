"""Watched figures, and mail about them."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

_WATCHES = f"""
create table watches ({AGGREGATE_COLUMNS},
    user_id uuid not null,
    name text not null check (length(name) between 1 and 200),
    metric text not null,
    measure text not null,
    question jsonb not null,
    period text,
    direction text check (direction in ('above', 'below')),
    threshold double precision,
    margin double precision not null check (margin >= 0),
    by_mail boolean not null,
    digest text check (digest in ('daily', 'weekly')),
    digest_at timestamptz,
    digest_value double precision,
    value double precision,
    currency text,
    period_from date,
    recorded_at timestamptz,
    published_at timestamptz,
    is_raised boolean not null,
    problem text,
    deleted_at timestamptz,
    check ((direction is null) = (threshold is null))
);
create index ix_watches_user_id on watches (organization_id, user_id, id);
create index ix_watches_digest_at on watches (digest_at) where digest_at is not null and deleted_at is null;
"""

_MAILS = f"""
create table watch_mails ({ROW_COLUMNS},
    user_id uuid not null,
    subject text not null,
    body text not null,
    attempts bigint not null,
    next_attempt_at timestamptz not null
);
create index ix_watch_mails_next_attempt_at on watch_mails (next_attempt_at);
"""

# the worker sees which there are and what is due, and acts as sluice_app inside the organization
_WORKER = """
create policy worker on watches to sluice_worker using (true) with check (true);
grant select (organization_id, id, version, digest_at, deleted_at) on watches to sluice_worker;
create policy worker on watch_mails to sluice_worker using (true) with check (true);
grant select, update (attempts, next_attempt_at), delete on watch_mails to sluice_worker;
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(_WATCHES)
    op.execute(_MAILS)
    for table in ("watches", "watch_mails"):
        op.execute(belongs_to_organization(table))
        op.execute(belongs_to(table, "user_id", references="users"))
    op.execute(protect("watches", grants="select, insert, update"))
    op.execute(protect("watch_mails"))
    op.execute(_WORKER)


def downgrade() -> None:
    """Drop them."""
    op.execute("drop table watch_mails")
    op.execute("drop table watches")
