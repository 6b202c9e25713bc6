"""What goes with contacts, their primary channels and their documents, in bulk: for all rows of a statement together.

Until now a new contact's document was read back from the rows that had just been written, once for its channels and
once for itself, and a changed contact was looked at by two triggers of its own.
"""

from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None

# Stable, as `unaccent` is: what is declared immutable over it cannot be inlined, and was a call of its own for each
# document.
_CYRILLIC = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
_LATIN = "abvgdeejziiklmnoprstufhccss_y_eua"
_WORDS = f"""
create or replace function search_fold(words text) returns text language sql stable parallel safe
    return translate(lower(unaccent('unaccent', words) collate "pg_c_utf8"), '{_CYRILLIC}', '{_LATIN}');

create function search_custom(custom jsonb) returns text language sql stable parallel safe
    return (select string_agg(e.value #>> '{{}}', ' ') from jsonb_each(custom) as e
        where jsonb_typeof(e.value) = 'string' and e.value #>> '{{}}' !~ '^[0-9a-f]{{8}}-[0-9a-f]{{4}}-');

create or replace function search_words(texts text, custom jsonb) returns text language sql stable parallel safe
    return ' ' || left(search_fold(
        concat_ws(' ', texts, case when custom = '{{}}' then null else search_custom(custom) end)
    ), 8000);
"""
_WORDS_BEFORE = f"""
create or replace function search_fold(words text) returns text language sql immutable parallel safe
    return translate(lower(unaccent('unaccent', words) collate "pg_c_utf8"), '{_CYRILLIC}', '{_LATIN}');

create or replace function search_words(texts text, custom jsonb) returns text language sql immutable parallel safe
    return ' ' || left(search_fold(concat_ws(' ', texts, (
        select string_agg(e.value #>> '{{}}', ' ') from jsonb_each(custom) as e
        where jsonb_typeof(e.value) = 'string' and e.value #>> '{{}}' !~ '^[0-9a-f]{{8}}-[0-9a-f]{{4}}-'
    ))), 8000);

drop function search_custom;
"""

_ROWS = """(values ('email', {row}.email, lower({row}.email)),
    ('phone', {row}.phone, coalesce(nullif(regexp_replace({row}.phone, '[^0-9+]', '', 'g'), ''), {row}.phone))
) as v (kind, value, key)"""

# Plans of a trigger are made for the first statement of a session and kept: for one row or for thousands. So rows
# before and after meet in a full join, which is always made by hashing, and ids go on as arrays, which are looked up by
# index.
_FUNCTIONS = f"""
create function keep_new_contacts() returns trigger language plpgsql as $$
begin
    insert into contact_channels (organization_id, id, contact_id, kind, type, value, key, is_primary)
    select n.organization_id, uuidv7(), n.id, v.kind, 'work', v.value, v.key, true
    from new_rows as n cross join lateral {_ROWS.format(row="n")} where v.value is not null;
    insert into search_documents (organization_id, id, kind, owner_id, title, detail, words)
    select n.organization_id, n.id, 'contact', n.owner_id, n.name, coalesce(n.email, n.phone),
        search_words(concat_ws(' ', n.name, n.email, regexp_replace(n.phone, '[^0-9]', '', 'g')), n.custom)
    from new_rows as n where n.deleted_at is null
    on conflict (organization_id, id) do update
        set owner_id = excluded.owner_id, title = excluded.title, detail = excluded.detail, words = excluded.words;
    return null;
end $$;

create function keep_changed_contacts() returns trigger language plpgsql as $$
declare
    k record;
begin
    for k in
        select n.organization_id,
            array_agg(n.id) filter (where n.email is distinct from o.email) as mailed,
            array_agg(n.id) filter (where n.phone is distinct from o.phone) as called,
            array_agg(n.id) filter (where n.deleted_at is not null) as gone,
            array_agg(n.id) filter (where n.deleted_at is null
                and (n.name, n.owner_id, n.email, n.phone, n.custom, n.deleted_at)
                    is distinct from (o.name, o.owner_id, o.email, o.phone, o.custom, o.deleted_at)) as told
        from new_rows as n full join old_rows as o on o.organization_id = n.organization_id and o.id = n.id
        group by n.organization_id
    loop
        if k.mailed is not null then
            delete from contact_channels as c
            where c.organization_id = k.organization_id and c.contact_id = any(k.mailed) and c.kind = 'email'
                and c.is_primary;
        end if;
        if k.called is not null then
            delete from contact_channels as c
            where c.organization_id = k.organization_id and c.contact_id = any(k.called) and c.kind = 'phone'
                and c.is_primary;
        end if;
        if k.mailed is not null or k.called is not null then
            insert into contact_channels (organization_id, id, contact_id, kind, type, value, key, is_primary)
            select n.organization_id, uuidv7(), n.id, v.kind, 'work', v.value, v.key, true
            from (
                select 'email' as kind, unnest(k.mailed) as id union all select 'phone', unnest(k.called)
            ) as changed join contacts as n on n.organization_id = k.organization_id and n.id = changed.id
            cross join lateral {_ROWS.format(row="n")}
            where v.kind = changed.kind and v.value is not null
            on conflict (organization_id, contact_id, kind, key)
                do update set is_primary = true, value = excluded.value, position = 0;
        end if;
        if k.gone is not null then
            delete from search_documents as s where s.organization_id = k.organization_id and s.id = any(k.gone);
        end if;
        if k.told is not null then
            perform index_contacts(k.organization_id, k.told);
        end if;
    end loop;
    return null;
end $$;
"""

# Channels that a trigger writes, of contacts or of a foreign key, come with a contact that is indexed or gone.
_CHANNELS = {"new": ("insert", "new"), "changed": ("update", "new"), "gone": ("delete", "old")}


def _of_channels(when: str) -> str:
    return "".join(
        f"""
drop trigger index_channels_{name} on contact_channels;
create trigger index_channels_{name} after {event} on contact_channels
    referencing {table} table as channels for each statement {when} execute function index_channels();
"""
        for name, (event, table) in _CHANNELS.items()
    )


_TRIGGERS = """
drop trigger keep_new_channels on contacts;
drop trigger keep_changed_channels on contacts;
drop trigger search_new on contacts;
drop trigger search_changed on contacts;
create trigger keep_new_contacts after insert on contacts
    referencing new table as new_rows for each statement execute function keep_new_contacts();
create trigger keep_changed_contacts after update on contacts
    referencing new table as new_rows old table as old_rows
    for each statement execute function keep_changed_contacts();
"""
_TRIGGERS_BEFORE = """
drop trigger keep_new_contacts on contacts;
drop trigger keep_changed_contacts on contacts;
create trigger keep_new_channels after insert on contacts
    referencing new table as new_rows for each statement execute function keep_new_channels();
create trigger keep_changed_channels after update on contacts for each row
    when ((new.email, new.phone) is distinct from (old.email, old.phone))
    execute function keep_changed_channels();
create trigger search_new after insert on contacts
    referencing new table as new_rows for each statement execute function index_new();
create trigger search_changed after update on contacts for each row
    when (old.* is distinct from new.*) execute function index_changed();
"""


def upgrade() -> None:
    """Put the new triggers in the place of the old ones, whose functions stay until nobody goes back."""
    op.execute(_WORDS)
    op.execute(_FUNCTIONS)
    op.execute(_of_channels("when (pg_trigger_depth() = 0)"))
    op.execute(_TRIGGERS)


def downgrade() -> None:
    """Put them back."""
    op.execute(_TRIGGERS_BEFORE)
    op.execute(_of_channels(""))
    op.execute("drop function keep_new_contacts, keep_changed_contacts")
    op.execute(_WORDS_BEFORE)
