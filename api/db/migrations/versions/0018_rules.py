"""Rules, their versions and firings, notifications, and calls that rules make."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TABLES = f"""
create table rules ({AGGREGATE_COLUMNS},
    name text not null check (length(name) between 1 and 200),
    mode text not null check (mode in ('off', 'dry_run', 'shadow', 'live')),
    is_timed boolean not null,
    document jsonb not null,
    owner_id uuid,
    disabled_because text,
    deleted_at timestamptz
);
create index ix_rules_timed on rules (organization_id) where is_timed and mode <> 'off' and deleted_at is null;

create table rule_versions ({ROW_COLUMNS},
    rule_id uuid not null,
    version bigint not null,
    mode text not null,
    document jsonb not null,
    valid_from timestamptz not null,
    constraint uq_rule_versions_version unique (organization_id, rule_id, version)
);

create table rule_runs ({ROW_COLUMNS},
    rule_id uuid not null,
    rule_version bigint not null,
    key text not null,
    mode text not null,
    subject_type text not null,
    subject_id uuid not null,
    event_id uuid,
    fired_at timestamptz not null,
    outcome text not null,
    detail text,
    actions jsonb not null default '[]',
    facts jsonb not null default '{{}}',
    score double precision,
    score_model text,
    cause_id uuid,
    constraint uq_rule_runs_key unique (organization_id, rule_id, key)
);
create index ix_rule_runs_subject on rule_runs (organization_id, subject_id, rule_id, fired_at);
create index ix_rule_runs_cause on rule_runs (organization_id, cause_id) where cause_id is not null;
create index ix_rule_runs_hour on rule_runs (organization_id, rule_id, created_at);

create table notifications ({ROW_COLUMNS},
    user_id uuid not null,
    text text not null,
    rule_id uuid,
    subject_type text,
    subject_id uuid,
    read_at timestamptz
);
create index ix_notifications_user on notifications (organization_id, user_id, id);

create table rule_calls ({ROW_COLUMNS},
    rule_id uuid not null,
    url text not null,
    body jsonb not null,
    -- squawk-ignore prefer-bigint-over-int -- a handful
    attempts integer not null default 0,
    next_at timestamptz not null,
    sent_at timestamptz,
    error text
);
create index ix_rule_calls_waiting on rule_calls (next_at) where sent_at is null and error is null;
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("rules"),
        belongs_to("rules", "owner_id", references="users"),
        belongs_to("rule_versions", "rule_id", references="rules"),
        belongs_to("rule_runs", "rule_id", references="rules"),
        belongs_to("notifications", "user_id", references="users"),
        belongs_to("notifications", "rule_id", references="rules"),
        belongs_to("rule_calls", "rule_id", references="rules"),
    ]
)

_PROTECTION = "".join(
    [
        protect("rules", grants="select, insert, update"),
        protect("rule_versions", grants="select, insert"),
        protect("rule_runs", grants="select, insert, update"),
        protect("notifications", grants="select, insert, update"),
        protect("rule_calls", grants="select, insert, update"),
    ]
)

# the worker looks in which organizations time may set off a rule, or a call is to be made, and acts inside one
_WORKER = """
create policy worker on rules for select to sluice_worker using (true);
grant select (organization_id, id, mode, is_timed, deleted_at) on rules to sluice_worker;
create policy worker on rule_calls to sluice_worker using (true) with check (true);
grant select, update on rule_calls to sluice_worker;
"""


def upgrade() -> None:
    """Make the tables."""
    for part in (_TABLES, _RELATIONS, _PROTECTION, _WORKER):
        op.execute(part)


def downgrade() -> None:
    """Drop them."""
    op.execute("drop table rule_calls, notifications, rule_runs, rule_versions, rules")
