"""What stands in a record's timeline: each slice declares its rows as a source, and `api.timeline` puts them together.

    SOURCES.append(Source(kinds=("call",), scope="calls:read", table="calls", at="x.began_at", …, data="…"))

A slice does so where it is loaded. The table, called `x`, links to records by `deal_id`, `contact_id`, `company_id`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows of one table as items of a timeline: SQL of ours over `x`. `data` is JSON, `where` what else must hold.

    `scope`: what a key needs to read such rows, here as elsewhere. `owner`: whose item it is, where seeing the record
    is not enough to see it.
    """

    kinds: tuple[str, ...]
    scope: str
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
