"""Foundation: organizations, people, users, sessions, teams, picklists, idempotency keys and the event log."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_IDENTITY = f"""
create table organizations (
    organization_id uuid primary key,
    name text not null check (length(name) between 1 and 200),
    time_zone text not null,
    currency text not null check (currency ~ '^[A-Z]{{3}}$'),
    week_start smallint not null check (week_start between 1 and 7),
    fiscal_year_start_month smallint not null check (fiscal_year_start_month between 1 and 12),
    version bigint not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- The e-mail address is not unique on purpose: without proof of ownership nobody may take an address from its owner by
-- registering it first, and creating a user must not tell whether another organization knows the address.
create table people (
    id uuid primary key,
    email text not null check (length(email) <= 254),
    name text not null check (length(name) between 1 and 200),
    password_hash text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index ix_people_email on people (lower(email), created_at);

create table users ({AGGREGATE_COLUMNS},
    person_id uuid not null constraint fk_users_person references people (id),
    email text not null check (length(email) <= 254),
    name text not null check (length(name) between 1 and 200),
    role text not null check (role in ('owner', 'admin', 'manager', 'rep', 'analyst')),
    record_scope text not null check (record_scope in ('own', 'team', 'subtree', 'all')),
    is_active boolean not null default true
);
create unique index uq_users_email on users (organization_id, lower(email));
create unique index uq_users_person on users (person_id, organization_id);

-- One row per sign-in. Refresh token number `generation` is the active one; tokens are derived from a secret key and
-- not stored.
create table sessions ({ROW_COLUMNS},
    user_id uuid not null,
    generation integer not null default 1,
    rotated_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz,
    revoked_because text check (revoked_because in ('logout', 'reuse', 'disabled', 'password'))
);
create index ix_sessions_user on sessions (organization_id, user_id) where revoked_at is null;

create table teams ({AGGREGATE_COLUMNS},
    name text not null check (length(name) between 1 and 120),
    parent_team_id uuid,
    manager_id uuid,
    is_active boolean not null default true
);
create unique index uq_teams_name on teams (organization_id, lower(name)) where is_active;
create index ix_teams_parent on teams (organization_id, parent_team_id);
create index ix_teams_manager on teams (organization_id, manager_id);

create table team_members ({ROW_COLUMNS},
    team_id uuid not null,
    user_id uuid not null,
    started_at timestamptz not null,
    ended_at timestamptz,
    constraint ck_team_members_interval check (ended_at is null or ended_at >= started_at),
    constraint ex_team_members_one_team exclude using gist (
        organization_id with =, user_id with =, tstzrange(started_at, ended_at) with &&
    )
);
create index ix_team_members_team on team_members (organization_id, team_id) where ended_at is null;

create table picklist_values ({ROW_COLUMNS},
    picklist text not null check (picklist ~ '^[a-z][a-z_]{{0,39}}$'),
    label text not null check (length(label) between 1 and 120)
);
create unique index uq_picklist_values_label on picklist_values (organization_id, picklist, lower(label));

create table idempotency_keys (
    organization_id uuid not null,
    user_id uuid not null,
    key text not null check (length(key) between 1 and 255),
    fingerprint bytea not null,
    status smallint not null,
    headers jsonb not null,
    body bytea not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, user_id, key)
);
create index ix_idempotency_keys_created_at on idempotency_keys (organization_id, created_at);
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("users"),
        belongs_to_organization("teams"),
        belongs_to_organization("picklist_values"),
        belongs_to("sessions", "user_id", references="users"),
        belongs_to("teams", "parent_team_id", references="teams"),
        belongs_to("teams", "manager_id", references="users"),
        belongs_to("team_members", "team_id", references="teams"),
        belongs_to("team_members", "user_id", references="users"),
        belongs_to("idempotency_keys", "user_id", references="users"),
    ]
)

_PROTECTION = "".join(
    [
        protect("organizations", grants="select, insert, update"),
        protect("users", grants="select, insert, update"),
        protect("sessions"),
        protect("teams", grants="select, insert, update"),
        protect("team_members"),
        protect("picklist_values"),
        protect("idempotency_keys"),
    ]
)

# sign-up, sign-in and new users look at people and memberships of all organizations, under a role of its own
_AUTH = """
alter table people enable row level security;
alter table people force row level security;
create policy auth on people to sluice_auth using (true) with check (true);
grant select, insert, update on people to sluice_auth;
create policy auth on users for select to sluice_auth using (true);
grant select on users to sluice_auth;
"""

_EVENT_LOG = """
create table event_log (
    position bigint generated always as identity primary key,
    event_id uuid not null constraint uq_event_log_event_id unique,
    organization_id uuid not null,
    type text not null,
    version integer not null,
    aggregate_type text not null,
    aggregate_id uuid not null,
    aggregate_version bigint not null check (aggregate_version >= 1),
    occurred_at timestamptz not null,
    recorded_at timestamptz not null default clock_timestamp(),
    actor text not null,
    actor_id uuid,
    causation_id uuid,
    correlation_id uuid not null,
    depth integer not null default 0,
    data jsonb not null,
    published_at timestamptz,
    published_epoch uuid,
    published_partition integer,
    published_offset bigint,
    parked_reason text,
    constraint uq_event_log_aggregate_version unique (organization_id, aggregate_id, aggregate_version)
);
create index ix_event_log_pending on event_log (position) where published_at is null;
create index ix_event_log_recorded_at on event_log (organization_id, recorded_at);

create table transport_epoch (
    epoch uuid primary key,
    started_at timestamptz not null default now()
);
grant select, insert on transport_epoch to sluice_relay;
grant select on transport_epoch to sluice_app;

-- the payload is empty, so the notices of one transaction fold into one; it is a hint, the relay also polls
create function announce_events() returns trigger language plpgsql as $$
begin
    perform pg_notify('sluice_events', '');
    return null;
end $$;
create trigger announce_events after insert on event_log for each statement execute function announce_events();
"""

# rows are immutable for the app; only the relay says where an event went
_EVENT_LOG_PROTECTION = (
    protect(
        "event_log",
        grants="select, insert (event_id, organization_id, type, version, aggregate_type, aggregate_id,"
        " aggregate_version, occurred_at, recorded_at, actor, actor_id, causation_id, correlation_id, depth, data)",
    )
    + """
create policy relay_reads on event_log for select to sluice_relay using (true);
create policy relay_marks on event_log for update to sluice_relay using (true) with check (true);
grant select on event_log to sluice_relay;
grant update (published_at, published_epoch, published_partition, published_offset, parked_reason) on event_log
    to sluice_relay;
"""
)

# One round trip opens a request: it enters the organization and answers who is calling, as of this instant. A sign-in
# that was ended or a user who was disabled a moment ago yields no row.
_REQUESTS = """
create function enter_request(in_organization_id uuid, in_session_id uuid, in_read_only boolean)
returns table (user_id uuid, role text, record_scope text) language plpgsql as $$
begin
    perform set_config('sluice.organization_id', in_organization_id::text, true);
    if in_read_only then
        perform set_config('transaction_read_only', 'on', true);
    end if;
    return query
        select u.id, u.role, u.record_scope
        from public.sessions as s
        join public.users as u on u.organization_id = s.organization_id and u.id = s.user_id
        where s.organization_id = in_organization_id and s.id = in_session_id
          and s.revoked_at is null and s.expires_at > now() and u.is_active;
end $$;

-- Claims an idempotency key until the transaction ends. `state` is new, running or done. Each statement in here sees
-- what was committed before it began, so a key whose first request has just finished is done, never new.
create function claim_idempotency_key(in_organization_id uuid, in_user_id uuid, in_key text)
returns table (state text, fingerprint bytea, status smallint, headers jsonb, body bytea) language plpgsql as $$
begin
    if not pg_try_advisory_xact_lock(
        hashtextextended(in_organization_id::text || ':' || in_user_id::text || ':' || in_key, 0)
    ) then
        return query select 'running', null::bytea, null::smallint, null::jsonb, null::bytea;
        return;
    end if;
    return query
        select 'done', k.fingerprint, k.status, k.headers, k.body
        from public.idempotency_keys as k
        where k.organization_id = in_organization_id and k.user_id = in_user_id and k.key = in_key
          and k.created_at > now() - interval '24 hours';
    if not found then
        return query select 'new', null::bytea, null::smallint, null::jsonb, null::bytea;
    end if;
end $$;
"""


def upgrade() -> None:
    """Apply."""
    for part in (_IDENTITY, _RELATIONS, _PROTECTION, _AUTH, _EVENT_LOG, _EVENT_LOG_PROTECTION, _REQUESTS):
        op.execute(part)


def downgrade() -> None:
    """Leave nothing."""
    op.execute("drop function claim_idempotency_key, enter_request")
    op.execute("drop table event_log, transport_epoch, idempotency_keys, picklist_values, team_members, teams")
    op.execute("drop table sessions, users, people, organizations")
    op.execute("drop function announce_events")
