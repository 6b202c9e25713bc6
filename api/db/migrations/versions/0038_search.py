"""What the search looks through: one document per record, kept by triggers, found by trigrams of its words.

Row-level security keeps operators that might tell of rows from its indexes, trigrams among them. So one function looks
into the index for everybody, as a role that may do nothing else: it takes the organization from the transaction, never
from its caller, and answers ids, which the caller then reads under row-level security.
"""

from alembic import op

from api.db.tenancy import belongs_to_organization, protect

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

# gin_pending_list_limit: few new documents wait outside the tree, for a search looks at each of those
_TABLE = """
create table search_documents (
    organization_id uuid not null,
    id uuid not null,
    kind text not null check (kind in ('contact', 'company', 'deal')),
    owner_id uuid,
    title text not null,
    detail text,
    words text not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, id)
);
create index ix_search_documents_words on search_documents using gin (organization_id, words gin_trgm_ops)
    with (gin_pending_list_limit = 512);
"""

# Letters that trigrams leave out where the database's locale is C stand as others, which they are written as anyway.
_CYRILLIC = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
_LATIN = "abvgdeejziiklmnoprstufhccss_y_eua"
_WORDS = f"""
create function search_fold(words text) returns text language sql immutable parallel safe
    return translate(lower(unaccent('unaccent', words) collate "pg_c_utf8"), '{_CYRILLIC}', '{_LATIN}');

create function search_words(texts text, custom jsonb) returns text language sql immutable parallel safe
    return ' ' || left(search_fold(concat_ws(' ', texts, (
        select string_agg(e.value #>> '{{}}', ' ') from jsonb_each(custom) as e
        where jsonb_typeof(e.value) = 'string' and e.value #>> '{{}}' !~ '^[0-9a-f]{{8}}-[0-9a-f]{{4}}-'
    ))), 8000);
"""

# to_jsonb: a record may be in the bin once its table has one
_KEEPING = """
create function index_contacts(of_organization uuid, ids uuid[]) returns void language sql as $$
    insert into search_documents (organization_id, id, kind, owner_id, title, detail, words)
    select c.organization_id, c.id, 'contact', c.owner_id, c.name, coalesce(c.email, c.phone),
        search_words(concat_ws(' ', c.name, (
            select string_agg(
                case h.kind when 'phone' then regexp_replace(h.value, '[^0-9]', '', 'g') else h.value end, ' '
                order by h.is_primary desc, h.position, h.id
            ) from contact_channels as h where h.organization_id = c.organization_id and h.contact_id = c.id
        )), c.custom)
    from contacts as c
    where c.organization_id = of_organization and c.id = any(ids) and to_jsonb(c) ->> 'deleted_at' is null
    on conflict (organization_id, id) do update
        set owner_id = excluded.owner_id, title = excluded.title, detail = excluded.detail, words = excluded.words
        where (search_documents.owner_id, search_documents.title, search_documents.detail, search_documents.words)
            is distinct from (excluded.owner_id, excluded.title, excluded.detail, excluded.words)
$$;

create function index_companies(of_organization uuid, ids uuid[]) returns void language sql as $$
    insert into search_documents (organization_id, id, kind, owner_id, title, detail, words)
    select c.organization_id, c.id, 'company', c.owner_id, c.name, c.domain,
        search_words(concat_ws(' ', c.name, c.domain), c.custom)
    from companies as c
    where c.organization_id = of_organization and c.id = any(ids) and to_jsonb(c) ->> 'deleted_at' is null
    on conflict (organization_id, id) do update
        set owner_id = excluded.owner_id, title = excluded.title, detail = excluded.detail, words = excluded.words
        where (search_documents.owner_id, search_documents.title, search_documents.detail, search_documents.words)
            is distinct from (excluded.owner_id, excluded.title, excluded.detail, excluded.words)
$$;

create function index_deals(of_organization uuid, ids uuid[]) returns void language sql as $$
    insert into search_documents (organization_id, id, kind, owner_id, title, detail, words)
    select d.organization_id, d.id, 'deal', d.owner_id, d.title, null, search_words(d.title, d.custom)
    from deals as d where d.organization_id = of_organization and d.id = any(ids) and d.deleted_at is null
    on conflict (organization_id, id) do update
        set owner_id = excluded.owner_id, title = excluded.title, words = excluded.words
        where (search_documents.owner_id, search_documents.title, search_documents.words)
            is distinct from (excluded.owner_id, excluded.title, excluded.words)
$$;
"""

_TRIGGERS = """
create function index_new() returns trigger language plpgsql as $$
begin
    if tg_table_name = 'contacts' then
        perform index_contacts(n.organization_id, array_agg(n.id)) from new_rows as n
        where not exists (
            select from search_documents as s where s.organization_id = n.organization_id and s.id = n.id
        ) group by n.organization_id;
    elsif tg_table_name = 'companies' then
        perform index_companies(n.organization_id, array_agg(n.id)) from new_rows as n group by n.organization_id;
    else
        perform index_deals(n.organization_id, array_agg(n.id)) from new_rows as n group by n.organization_id;
    end if;
    return null;
end $$;

create function index_changed() returns trigger language plpgsql as $$
begin
    if to_jsonb(new) ->> 'deleted_at' is not null then
        delete from search_documents where organization_id = new.organization_id and id = new.id;
    elsif tg_table_name = 'contacts' then
        perform index_contacts(new.organization_id, array[new.id]);
    elsif tg_table_name = 'companies' then
        perform index_companies(new.organization_id, array[new.id]);
    else
        perform index_deals(new.organization_id, array[new.id]);
    end if;
    return null;
end $$;

create function index_gone() returns trigger language plpgsql as $$
begin
    delete from search_documents where organization_id = old.organization_id and id = old.id;
    return null;
end $$;

create function index_channels() returns trigger language plpgsql as $$
begin
    perform index_contacts(c.organization_id, array_agg(distinct c.contact_id))
    from channels as c group by c.organization_id;
    return null;
end $$;

create trigger index_channels_new after insert on contact_channels
    referencing new table as channels for each statement execute function index_channels();
create trigger index_channels_changed after update on contact_channels
    referencing new table as channels for each statement execute function index_channels();
create trigger index_channels_gone after delete on contact_channels
    referencing old table as channels for each statement execute function index_channels();
"""


def _of_table(table: str, changes: str) -> str:
    return f"""
create trigger search_new after insert on {table}
    referencing new table as new_rows for each statement execute function index_new();
create trigger search_changed after update on {table} for each row
    when ({changes}) execute function index_changed();
create trigger search_gone after delete on {table} for each row execute function index_gone();
"""


_TITLED = """(new.title, new.owner_id, new.custom, new.deleted_at)
    is distinct from (old.title, old.owner_id, old.custom, old.deleted_at)"""
_CHANGES = {"contacts": "old.* is distinct from new.*", "companies": "old.* is distinct from new.*", "deals": _TITLED}

# Every word has to be in a document; where no document has them all, each has to be nearly in it.
_FIND = """
create function find_documents(asked text, kinds text[], owners uuid[], row_limit bigint)
returns table (id uuid, score real) language plpgsql stable security definer rows 20
set search_path = pg_catalog, public, pg_temp
set pg_trgm.word_similarity_threshold = 0.45
as $$
declare
    organization uuid := nullif(current_setting('sluice.organization_id', true), '')::uuid;
    is_number boolean := asked ~ '^[-+()/. 0-9]*$' and length(regexp_replace(asked, '[^0-9]', '', 'g')) >= 4;
    words text[];
    patterns text[];
    conditions text := '';
    seen constant text := 'select d.id, d.title, d.words from search_documents as d where d.organization_id = $1
        and d.kind = any($2) and ($3 is null or d.owner_id = any($3))';
begin
    if organization is null then
        return;
    end if;
    words := case when is_number then array[regexp_replace(asked, '[^0-9]', '', 'g')]
        else (regexp_split_to_array(btrim(search_fold(asked)), '\\s+'))[1 : 8] end;
    select array_agg(
        -- so short a word has no trigram but at its beginning
        case when length(w) < 3 then '% ' else '%' end || regexp_replace(w, '([\\\\%_])', '\\\\\\1', 'g') || '%'
    ) into patterns from unnest(words) as w;
    for place in 1 .. array_length(patterns, 1) loop
        conditions := conditions || format(' and d.words like $4[%s]', place);
    end loop;
    return query execute 'select f.id, (0.8 + 0.2 * t.share)::real as score from ('
        || seen || conditions || ' limit 1000) as f cross join lateral (
            select avg((position(w in search_fold(f.title)) > 0)::int) as share from unnest($5) as w
        ) as t order by score desc, length(f.title), f.id desc limit $6'
        using organization, kinds, owners, patterns, words, row_limit;
    if found or is_number then
        return;
    end if;
    words := array(select w from unnest(words) as w where length(w) >= 3);
    conditions := '';
    for place in 1 .. coalesce(array_length(words, 1), 0) loop
        conditions := conditions || format(' and d.words %%> $4[%s]', place);
    end loop;
    if conditions <> '' then
        return query execute 'select f.id, t.score::real from ('
            || seen || conditions || ' limit 1000) as f cross join lateral (
                select avg(word_similarity(w, f.words)) as score from unnest($4) as w
            ) as t order by t.score desc, length(f.title), f.id desc limit $5'
            using organization, kinds, owners, words, row_limit;
    end if;
end $$;
"""
_GRANTS = """
create policy search on search_documents for select to sluice_search using (true);
grant select on search_documents to sluice_search;
grant create on schema public to sluice_search;
alter function find_documents owner to sluice_search;
revoke create on schema public from sluice_search;
set local role sluice_search;
revoke all on function find_documents from public;
grant execute on function find_documents to sluice_app;
reset role;
"""


def upgrade() -> None:
    """Make the table and what keeps it."""
    for part in (_TABLE, belongs_to_organization("search_documents"), protect("search_documents"), _WORDS):
        op.execute(part)
    for part in (_KEEPING, _FIND, _GRANTS, _TRIGGERS):
        op.execute(part)
    for table, changes in _CHANGES.items():
        op.execute(_of_table(table, changes))


def downgrade() -> None:
    """Drop it all."""
    for table in _CHANGES:
        op.execute(f"drop trigger search_new on {table}; drop trigger search_changed on {table}")
        op.execute(f"drop trigger search_gone on {table}")
    for name in ("new", "changed", "gone"):
        op.execute(f"drop trigger index_channels_{name} on contact_channels")
    op.execute("set local role sluice_search; drop function find_documents; reset role")
    op.execute("drop function index_new, index_changed, index_gone, index_channels")
    op.execute("drop function index_contacts, index_companies, index_deals")
    op.execute("drop function search_words, search_fold")
    op.execute("drop table search_documents")
