"""Everything of an organization as files in one ZIP archive, sent as it is read: memory does not grow with it.

`tables/<name>.ndjson` holds each table's rows as JSON lines, those in the recycle bin too; `files/` what people
attached, by hash; `imports/` uploads that are still there. Each page of a table is as of its own instant. What opens
anything is left out: PostgreSQL's catalogue says which columns are bytes, and sealed secrets and digests always are.
"""

import asyncio
import json
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from api.db.statements import Statement, compiled
from api.files.content import folder_of
from api.kernel.binning import OPEN
from api.kernel.unit_of_work import Row, UnitOfWork

#: Rows of one page, and what they may take as they are stored: raw mails are large.
_AT_ONCE, _PAGE_BYTES = 2_000, 4 << 20
_BLOCK = 1 << 20
#: Made of other tables, or of what programs remember for a day.
_LEFT_OUT = ("consumed_events", "idempotency_keys", "search_documents", "sessions")
_TABLES = compiled(
    text("""
select c.relname as name,
    array(select a.attname::text from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0
        and not a.attisdropped) as columns,
    array(select a.attname::text from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0
        and not a.attisdropped and a.atttypid = 'bytea'::regtype) as hidden,
    array(select a.attname::text from unnest(i.indkey) with ordinality as k (number, place)
        join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.number order by k.place) as keys,
    array(select format_type(a.atttypid, null) from unnest(i.indkey) with ordinality as k (number, place)
        join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.number order by k.place) as types
from pg_class as c join pg_index as i on i.indrelid = c.oid and i.indisprimary
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    and c.relname <> all(cast(:left_out as text[])) and has_table_privilege(c.oid, 'select')
    and exists (select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'organization_id')
order by c.relname
""")
)
_README = """Everything that Sluice stores of your organization, as of the time in manifest.json.

tables/<name>.ndjson  the rows of a table, one JSON document per line; amounts are minor units, instants carry a zone
files/<sha256>        contents of attached files; tables/files.ndjson says what each is called and about
imports/<id>/         uploaded import files that are still kept

Passwords, keys and secrets of accounts are not in here, nor is anything of other organizations.
"""


class _Outgoing:
    """Takes what the archive writes, until it is sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits anywhere else."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


async def archive(unit: UnitOfWork, organization_id: UUID, files_path: Path) -> AsyncIterator[bytes]:
    """The archive, piece by piece. `unit` reads, and is in the organization."""
    out, counts = _Outgoing(), {}
    made_at = datetime.now(UTC)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as zipped:
        zipped.writestr("README.txt", _README)
        for table in await unit.fetch(_TABLES, left_out=list(_LEFT_OUT)):
            counts[table.name] = 0
            with zipped.open(f"tables/{table.name}.ndjson", "w", force_zip64=True) as entry:
                async for rows in _pages(unit, table):
                    counts[table.name] += len(rows)
                    await asyncio.to_thread(entry.write, _lines(rows))
                    yield out.take()
        for name, path in await asyncio.to_thread(_contents, files_path, organization_id):
            async for piece in _copied(zipped, out, name, path):
                yield piece
        manifest = {"organization_id": str(organization_id), "made_at": made_at.isoformat(), "rows": counts}
        zipped.writestr("manifest.json", json.dumps(manifest, indent=2))
    yield out.take()


async def _pages(unit: UnitOfWork, table: Row) -> AsyncIterator[Sequence[Row]]:
    place: list[Any] | None = None
    while True:
        statement = _page(table, is_first=place is None)
        given = {} if place is None else {f"after_{number}": value for number, value in enumerate(place)}
        unit.execute(OPEN)
        rows = await unit.fetch(statement, **given)
        if not rows:
            return
        yield rows
        place = [str(rows[-1].row[name]) for name in table.keys]


def _page(table: Row, *, is_first: bool) -> Statement:
    """Rows until they take too much together, one at least. Names and types are the catalogue's."""
    keys = ", ".join(f'x."{name}"' for name in table.keys)
    after = ", ".join(f"cast(:after_{number} as {kind})" for number, kind in enumerate(table.types))
    hidden = "".join(f" - '{name}'" for name in (*table.hidden, "_before"))
    size = " + ".join(f'coalesce(pg_column_size("{name}"), 0)' for name in table.columns)
    beyond = "" if is_first else f" and ({keys}) > ({after})"
    return compiled(
        text(
            f"select to_jsonb(x){hidden} as row from ("
            f"select x.*, sum({size}) over (order by {keys} rows unbounded preceding) - ({size}) as _before"
            f' from "{table.name}" as x where x.organization_id = :organization_id{beyond}'
            f" order by {keys} limit {_AT_ONCE}) as x where x._before < {_PAGE_BYTES} order by {keys}"
        ),
        is_prepared=False,
    )


def _lines(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row.row, ensure_ascii=False) + "\n" for row in rows).encode()


def _contents(files_path: Path, organization_id: UUID) -> list[tuple[str, Path]]:
    attached = [path for path in sorted(folder_of(files_path, organization_id).glob("??/*")) if path.is_file()]
    uploads = files_path / str(organization_id)
    kept = [path for path in sorted(uploads.rglob("*")) if path.is_file()]
    return [
        *((f"files/{path.name}", path) for path in attached),
        *((f"imports/{path.relative_to(uploads).as_posix()}", path) for path in kept),
    ]


async def _copied(zipped: zipfile.ZipFile, out: _Outgoing, name: str, path: Path) -> AsyncIterator[bytes]:
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return  # it went meanwhile
    with source, zipped.open(name, "w", force_zip64=True) as entry:
        while block := await asyncio.to_thread(source.read, _BLOCK):
            await asyncio.to_thread(entry.write, block)
            yield out.take()
