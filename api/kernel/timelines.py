"""What stands in a record's timeline: each slice declares its rows as a source, and `api.timeline` puts them together.

    SOURCES.append(Source("call", table="calls", at="x.began_at", type="'call'", actor="x.user_id", data="…"))

A slice does so where it is loaded. The table, called `x`, links to records by `deal_id`, `contact_id`, `company_id`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows of one table as items of a timeline: SQL of ours over `x`. `data` is JSON, `where` what else must hold.

    `owner`: whose item it is, where seeing the record is not enough to see it.
    """

    kinds: tuple[str, ...]
    table: str
    at: str
    kind: str
    type: str
    actor: str
    data: str
    where: str = "true"
    owner: str | None = None


#: What every timeline consists of, besides the changes of the record itself.
SOURCES: list[Source] = []
