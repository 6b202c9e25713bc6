"""The statement of the search.

Each word has to be in the record's texts or, by its trigrams, nearly so. Row-level security lets no index answer that,
as its operators might tell of rows before the policy does: the organization's rows are looked at, one by one.
"""

import re
from collections.abc import Collection
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.unit_of_work import Row, UnitOfWork

#: Letters that trigrams leave out where the database's locale is C stand as others, which they are written as anyway.
_CYRILLIC = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
_LATIN = "abvgdeejziiklmnoprstufhccss_y_eua"
_FOLDED = str.maketrans(_CYRILLIC, _LATIN)

_MOST_WORDS, _FEWEST_DIGITS = 8, 4
#: From which likeness on a word counts as meant: of seven letters one in the middle may be wrong.
_NEAR = 0.4
#: Kind -> table, what its records are called, what is shown beside, and what more is looked through.
_KINDS = {
    "contact": ("contacts", "r.name", "coalesce(r.email, r.phone)", "r.phone", "true"),
    "company": ("companies", "r.name", "r.domain", "null", "true"),
    "deal": ("deals", "r.title", "null", "null", "r.deleted_at is null"),
}


def _of_kind(kind: str) -> str:
    table, title, beside, phone, where = _KINDS[kind]
    return f"""select '{kind}' as kind, r.id, {title} as title, cast({beside} as text) as detail,
        translate(lower(concat_ws(' ', {title}, {beside}) collate "pg_c_utf8"), '{_CYRILLIC}', '{_LATIN}') as words,
        regexp_replace(coalesce(cast({phone} as text), ''), '[^0-9]', '', 'g') as digits
        from {table} as r where r.organization_id = :organization_id and {where} and '{kind}' = any(:kinds)
            and (cast(:owners as uuid[]) is null or r.owner_id = any(:owners))"""


_SEARCH = compiled(
    text(f"""
with seen as ({" union all ".join(_of_kind(kind) for kind in _KINDS)})
select kind, seen.id, title, detail, likeness.score
from seen cross join lateral (
    select min(one.likeness) as worst, avg(one.likeness) as score
    from (
        select case when position(word in seen.words) > 0 then 1 else word_similarity(word, seen.words) end as likeness
        from unnest(cast(:words as text[])) as word
    ) as one
) as likeness
where likeness.worst >= {_NEAR} or (cast(:digits as text) <> '' and position(cast(:digits as text) in digits) > 0)
order by likeness.score desc, length(title), seen.id desc
limit :row_limit
"""),
    is_prepared=False,
)


def kinds() -> list[str]:
    """What can be found."""
    return list(_KINDS)


async def search(
    unit: UnitOfWork, q: str, *, only: Collection[str], owners: Collection[UUID] | None, limit: int
) -> list[Row]:
    """The records that are most like what was asked for, the best first."""
    words = q.lower().translate(_FOLDED).split()[:_MOST_WORDS]
    digits = re.sub(r"\D", "", q)
    is_number = len(digits) >= _FEWEST_DIGITS and not any(letter.isalpha() for letter in q)
    return await unit.fetch(
        _SEARCH,
        words=words,
        digits=digits if is_number else "",
        kinds=list(only),
        owners=None if owners is None else list(owners),
        row_limit=limit,
    )
