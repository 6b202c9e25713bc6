"""Who gets in: keys of programs, proven addresses, second factors, invitations, limits; and the log of it."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# a key acts for whoever made it; one of a service has a role of its own and outlives their leaving
_KEYS = f"""
create table api_keys ({ROW_COLUMNS},
    user_id uuid not null,
    name text not null check (length(name) between 1 and 120),
    digest bytea not null check (length(digest) = 32),
    hint text not null,
    scopes text[] not null,
    role text check (role in ('owner', 'admin', 'manager', 'rep', 'analyst')),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
create index ix_api_keys_user on api_keys (organization_id, user_id);
"""

_SIGN_INS = """
alter table sessions add column address text, add column user_agent text,
    add column has_second_factor boolean not null default false;
-- squawk-ignore ban-drop-constraint -- why a sign-in ended is for its rules to say
alter table sessions drop constraint sessions_revoked_because_check;
alter table organizations add column requires_second_factor boolean not null default false;
"""

# an address belongs to one person at most once it is proven; whatever else was registered with it changes nothing
_PEOPLE = """
create table proven_addresses (
    address text primary key check (length(address) <= 254),
    person_id uuid not null constraint fk_proven_addresses_person references people (id),
    proven_at timestamptz not null default now()
);
create index ix_proven_addresses_person on proven_addresses (person_id);
create table identities (
    issuer text not null check (length(issuer) <= 500),
    subject text not null check (length(subject) <= 255),
    person_id uuid not null constraint fk_identities_person references people (id),
    created_at timestamptz not null default now(),
    primary key (issuer, subject)
);
create index ix_identities_person on identities (person_id);
create table second_factors (
    person_id uuid primary key constraint fk_second_factors_person references people (id),
    sealed bytea not null,
    confirmed_at timestamptz,
    last_counter bigint not null default 0,
    recovery_digests text[] not null default '{}'
);
"""
_AUTH = "".join(
    f"""
alter table {table} enable row level security;
alter table {table} force row level security;
create policy auth on {table} to sluice_auth using (true) with check (true);
grant select, insert, update, delete on {table} to sluice_auth;
"""
    for table in ("proven_addresses", "identities", "second_factors")
)
_MEMBERSHIPS = """
create policy auth on organizations for select to sluice_auth using (true);
grant select on organizations to sluice_auth;
"""

_INVITATIONS = f"""
create table invitations ({ROW_COLUMNS},
    email text not null check (length(email) <= 254),
    name text not null check (length(name) between 1 and 200),
    role text not null check (role in ('owner', 'admin', 'manager', 'rep', 'analyst')),
    record_scope text not null check (record_scope in ('own', 'team', 'subtree', 'all')),
    team_id uuid,
    invited_by uuid not null,
    expires_at timestamptz not null,
    accepted_at timestamptz,
    revoked_at timestamptz
);
create unique index uq_invitations_open on invitations (organization_id, lower(email))
    where accepted_at is null and revoked_at is null;
"""

# GCRA: `tat` is when the bucket will be empty again. Unlogged: after a crash everybody begins with a full allowance.
_LIMITS = """
create unlogged table rate_limits (
    key text primary key,
    tat timestamptz not null
);
create index ix_rate_limits_tat on rate_limits (tat);
grant select, insert, update, delete on rate_limits to sluice_app;

create function take_limits(in_keys text[], in_seconds double precision[], in_bursts integer[])
returns table (key text, is_allowed boolean, used double precision) language plpgsql as $$
declare
    moment timestamptz := clock_timestamp();
    step interval;
    taken timestamptz;
begin
    for i in 1 .. cardinality(in_keys) loop
        step := make_interval(secs => in_seconds[i]);
        insert into public.rate_limits as r (key, tat) values (in_keys[i], moment + step)
            on conflict on constraint rate_limits_pkey do update set tat = greatest(r.tat, moment) + step
            where greatest(r.tat, moment) + step <= moment + step * (in_bursts[i] + 1)
            returning r.tat into taken;
        if not found then
            select r.tat into taken from public.rate_limits as r where r.key = in_keys[i];
            return query select in_keys[i], false, extract(epoch from taken - moment)::double precision;
            return;
        end if;
        return query select in_keys[i], true, extract(epoch from taken - moment)::double precision;
    end loop;
end $$;
"""

# Rows are chained per organization: each holds a hash of itself and of the one before. Nobody but the owner of the
# table can change or delete one, and then the chain breaks.
_AUDIT = """
create table audit_log (
    organization_id uuid not null,
    position bigint not null,
    at timestamptz not null,
    action text not null check (action ~ '^[a-z_]+\\.[a-z_.]+$'),
    actor text not null,
    actor_id uuid,
    address text,
    correlation_id uuid,
    resource text,
    resource_id uuid,
    before jsonb,
    after jsonb,
    previous bytea not null,
    hash bytea not null,
    primary key (organization_id, position)
);

create function audit_text(entry audit_log) returns text language sql immutable as $$
    select jsonb_build_array(entry.organization_id, entry.position, extract(epoch from entry.at), entry.action,
        entry.actor, entry.actor_id, entry.address, entry.correlation_id, entry.resource, entry.resource_id,
        entry.before, entry.after, encode(entry.previous, 'hex'))::text
$$;

create function chain_audit() returns trigger language plpgsql as $$
declare
    last record;
begin
    perform pg_advisory_xact_lock(hashtextextended('audit:' || new.organization_id::text, 0));
    select a.position, a.hash into last from public.audit_log as a
        where a.organization_id = new.organization_id order by a.position desc limit 1;
    new.position := coalesce(last.position, 0) + 1;
    new.at := clock_timestamp();
    new.previous := coalesce(last.hash, ''::bytea);
    new.hash := sha256(convert_to(public.audit_text(new), 'UTF8'));
    return new;
end $$;
create trigger chain_audit before insert on audit_log for each row execute function chain_audit();
create index ix_audit_log_resource on audit_log (organization_id, resource_id, position);
"""

# One round trip opens a request, as enter_request does: with a sign-in, or with a program's key.
_ENTER = """
create function enter_by_session(in_organization_id uuid, in_session_id uuid, in_read_only boolean)
returns table (user_id uuid, role text, record_scope text, scopes text[], lacks_second_factor boolean)
language plpgsql as $$
begin
    perform set_config('sluice.organization_id', in_organization_id::text, true);
    if in_read_only then
        perform set_config('transaction_read_only', 'on', true);
    end if;
    return query
        select u.id, u.role, u.record_scope, null::text[], o.requires_second_factor and not s.has_second_factor
        from public.sessions as s
        join public.users as u on u.organization_id = s.organization_id and u.id = s.user_id
        join public.organizations as o on o.organization_id = s.organization_id
        where s.organization_id = in_organization_id and s.id = in_session_id
          and s.revoked_at is null and s.expires_at > now() and u.is_active;
end $$;

create function enter_by_key(in_organization_id uuid, in_key_id uuid, in_digest bytea, in_read_only boolean)
returns table (user_id uuid, role text, record_scope text, scopes text[], lacks_second_factor boolean)
language plpgsql as $$
begin
    perform set_config('sluice.organization_id', in_organization_id::text, true);
    -- noted once a minute, and by whoever can do so without waiting
    update public.api_keys as k set last_used_at = now() where (k.organization_id, k.id) in (
        select a.organization_id, a.id from public.api_keys as a
        where a.organization_id = in_organization_id and a.id = in_key_id and a.digest = in_digest
          and (a.last_used_at is null or a.last_used_at < now() - interval '1 minute')
        for update skip locked
    );
    if in_read_only then
        perform set_config('transaction_read_only', 'on', true);
    end if;
    return query
        select u.id, coalesce(k.role, u.role), case when k.role is null then u.record_scope else 'all' end, k.scopes,
            false
        from public.api_keys as k
        join public.users as u on u.organization_id = k.organization_id and u.id = k.user_id
        where k.organization_id = in_organization_id and k.id = in_key_id and k.digest = in_digest
          and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
          and (u.is_active or k.role is not null);
end $$;
"""

_RELATIONS = "".join(
    [
        belongs_to("api_keys", "user_id", references="users"),
        belongs_to("invitations", "team_id", references="teams"),
        belongs_to("invitations", "invited_by", references="users"),
        belongs_to_organization("audit_log"),
    ]
)
_PROTECTION = "".join(
    [
        protect("api_keys", grants="select, insert, update"),
        protect("invitations", grants="select, insert, update"),
        protect("audit_log", grants="select, insert"),
    ]
)


def upgrade() -> None:
    """Make all of it."""
    for part in (_KEYS, _SIGN_INS, _PEOPLE, _AUTH, _MEMBERSHIPS, _INVITATIONS, _LIMITS, _AUDIT, _ENTER):
        op.execute(part)
    op.execute(_RELATIONS)
    op.execute(_PROTECTION)


def downgrade() -> None:
    """Take it back."""
    op.execute("drop function enter_by_key, enter_by_session, take_limits")
    op.execute("drop table rate_limits, invitations, api_keys, second_factors, identities, proven_addresses")
    op.execute("drop table audit_log cascade")
    op.execute("drop function chain_audit")
    op.execute("drop policy auth on organizations")
    op.execute("revoke select on organizations from sluice_auth")
    op.execute("alter table organizations drop column requires_second_factor")
    op.execute("""
        alter table sessions drop column address, drop column user_agent,
            drop column has_second_factor;
        update sessions set revoked_because = 'logout' where revoked_because in ('revoked', 'second_factor');
        alter table sessions add constraint sessions_revoked_because_check
            check (revoked_because in ('logout', 'reuse', 'disabled', 'password')) not valid;
        alter table sessions validate constraint sessions_revoked_because_check;
    """)
