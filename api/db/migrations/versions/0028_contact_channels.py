"""A contact's e-mail addresses, phone numbers and handles; the one of its own row is the primary one."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to, protect

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# key: what two spellings of one address have in common
_TABLE = f"""
create table contact_channels ({ROW_COLUMNS},
    contact_id uuid not null,
    kind text not null check (kind in ('email', 'phone', 'handle')),
    type text not null check (length(type) between 1 and 40),
    value text not null check (length(value) between 1 and 320),
    key text not null check (length(key) between 1 and 400),
    is_primary boolean not null default false,
    position bigint not null default 0,
    constraint uq_contact_channels_key unique (organization_id, contact_id, kind, key)
);
create index ix_contact_channels_key on contact_channels (organization_id, kind, key, contact_id);
create unique index uq_contact_channels_primary on contact_channels (organization_id, contact_id, kind)
    where is_primary;
"""

# Whoever writes a contact's row, an older version or an import in bulk, keeps its primary channels with it.
_ROWS = """(values ('email', {row}.email, lower({row}.email)),
    ('phone', {row}.phone, coalesce(nullif(regexp_replace({row}.phone, '[^0-9+]', '', 'g'), ''), {row}.phone))
) as v (kind, value, key)"""
_TRIGGERS = f"""
create function keep_new_channels() returns trigger language plpgsql as $$
begin
    insert into contact_channels (organization_id, id, contact_id, kind, type, value, key, is_primary)
    select n.organization_id, uuidv7(), n.id, v.kind, 'work', v.value, v.key, true
    from new_rows as n cross join lateral {_ROWS.format(row="n")} where v.value is not null;
    return null;
end $$;

create function keep_changed_channels() returns trigger language plpgsql as $$
begin
    delete from contact_channels as c
    where c.organization_id = new.organization_id and c.contact_id = new.id and c.is_primary
        and ((c.kind = 'email' and new.email is distinct from old.email)
            or (c.kind = 'phone' and new.phone is distinct from old.phone));
    insert into contact_channels (organization_id, id, contact_id, kind, type, value, key, is_primary)
    select new.organization_id, uuidv7(), new.id, v.kind, 'work', v.value, v.key, true
    from {_ROWS.format(row="new")}
    where v.value is not null
        and ((v.kind = 'email' and new.email is distinct from old.email)
            or (v.kind = 'phone' and new.phone is distinct from old.phone))
    on conflict (organization_id, contact_id, kind, key)
        do update set is_primary = true, value = excluded.value, position = 0;
    return null;
end $$;

create trigger keep_new_channels after insert on contacts
    referencing new table as new_rows for each statement execute function keep_new_channels();
create trigger keep_changed_channels after update on contacts for each row
    when ((new.email, new.phone) is distinct from (old.email, old.phone))
    execute function keep_changed_channels();
"""


def upgrade() -> None:
    """Make the table and what keeps it."""
    for statements in (
        _TABLE,
        belongs_to("contact_channels", "contact_id", references="contacts", on_delete="cascade"),
    ):
        op.execute(statements)
    op.execute(protect("contact_channels"))
    op.execute(_TRIGGERS)


def downgrade() -> None:
    """Drop it; what is primary stands in the contacts' own rows."""
    op.execute("drop trigger keep_new_channels on contacts; drop trigger keep_changed_channels on contacts")
    op.execute("drop function keep_new_channels, keep_changed_channels")
    op.execute("drop table contact_channels")
