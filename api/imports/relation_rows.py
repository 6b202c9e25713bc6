"""Rows of companies and contacts files."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from api.companies.records import COMPANIES
from api.contacts import channels
from api.contacts.records import CONTACTS
from api.imports.batch import Batch, Line, RowResult
from api.imports.channel_cells import BadCellError, joined, read_cells, read_tags, with_tags
from api.imports.custom_cells import CustomCells
from api.imports.directory import Directory, UnknownNameError
from api.imports.prepare import FILE, ROW
from api.imports.presets import Entity
from api.imports.relations import companies_named, contacts_like, load_companies, merged_ids
from api.kernel import custom, records, tags
from api.kernel.custom import Custom
from api.kernel.phones import region_of
from api.kernel.records import RecordKind
from api.kernel.unit_of_work import Row as Found

Row = Mapping[str, Any]
#: New records that are written together.
_SENT_AHEAD = 500
_GIVE_ID = "Give the id that it was imported with, in the column external_id."


@dataclass(frozen=True)
class _Wanted:
    """What a row says of its record: a known one, or one to be made under this id."""

    id: UUID
    record: Found | None
    fields: dict[str, Any]
    custom: Custom | None

    @property
    def state(self) -> dict[str, Any]:
        """The known record's columns."""
        return {} if self.record is None else dict(self.record._asdict())


class _Refused(ValueError):
    """A row's reference that leads nowhere."""

    def __init__(self, column: str, error: UnknownNameError) -> None:
        super().__init__(str(error))
        self.column, self.error = column, error


async def write_companies(batch: Batch, directory: Directory, rows: Sequence[Row]) -> None:
    """Write a chunk of companies. A row is a known company's by its external id, else by its name."""
    known = await companies_named(batch, [row["name"] for row in rows], [row["external_id"] for row in rows], lock=True)
    merged = await merged_ids(batch, "company", (row["external_id"] for row in rows))
    by_id = _by_id(known, merged)
    by_name = _grouped((one.name.lower(), one) for one in known)
    cells = await CustomCells.load(batch, directory, "company", rows=rows)
    wanted: list[_Wanted] = []
    for row in rows:
        try:
            owner_id = _find(row, "owner_email", directory.user_id)
            industry_id = _find(row, "industry", partial(directory.value_id, "industry"))
            record = _known(row, "name", by_id, by_name.get(row["name"].lower(), []), batch.options.on_duplicate)
            names = read_tags(row)
            id_, made = cells.read(row, record)
        except _Refused as refused:
            _fail(batch, row, refused)
            continue
        except BadCellError as bad:
            _fail_cell(batch, row, bad)
            continue
        fields = {
            "name": row["name"],
            "domain": row["domain"],
            "industry_id": industry_id,
            "employee_count": row["employees"],
            "country": row["country"],
            "owner_id": owner_id,
            # what was merged keeps its id for files to come, and its survivor its own
            "external_id": None if row["external_id"] in merged else row["external_id"],
        }
        wanted.append(_Wanted(id_, record, {**fields, **_tagged(record, names)}, made))
    await _write(batch, COMPANIES, wanted, entity=Entity.COMPANIES)


async def write_contacts(batch: Batch, directory: Directory, rows: Sequence[Row]) -> None:
    """Write a chunk of contacts. A row is a known contact's by its external id, its e-mail, or its name and company."""
    region = region_of(batch.run.time_zone)
    companies = await load_companies(batch, rows)
    merged = await merged_ids(batch, "contact", (row["external_id"] for row in rows))
    known = await contacts_like(batch, rows, merged.values())
    by_id = _by_id(known, merged)
    by_email = _grouped((email["value"].lower(), one) for one in known for email in one.emails)
    by_place = _grouped(((one.name.lower(), one.company_id), one) for one in known)
    cells = await CustomCells.load(batch, directory, "contact", rows=rows)
    wanted: list[_Wanted] = []
    for row in rows:
        try:
            owner_id = _find(row, "owner_email", directory.user_id)
            source_id = _find(row, "source", partial(directory.value_id, "source"))
            company_id = _find(row, "company", lambda _, row=row: companies.find(row))  # type: ignore[misc]
            by_name = by_place.get((row["name"].lower(), company_id), [])
            same = by_email.get(row["email"], []) if row["email"] else by_name
            record = _known(row, "email" if row["email"] else "name", by_id, same, batch.options.on_duplicate)
            more = read_cells(row, region)
            names = read_tags(row)
            id_, made = cells.read(row, record)
        except _Refused as refused:
            _fail(batch, row, refused)
            continue
        except BadCellError as bad:
            _fail_cell(batch, row, bad)
            continue
        fields = {
            "name": row["name"],
            "email": row["email"],
            "phone": row["phone"],
            "company_id": company_id,
            "owner_id": owner_id,
            "source_id": source_id,
            # what was merged keeps its id for files to come, and its survivor its own
            "external_id": None if row["external_id"] in merged else row["external_id"],
        }
        if record is not None:
            more = _with_known(record, fields, more)
        wanted.append(_Wanted(id_, record, {**fields, **more, **_tagged(record, names)}, made))
    await _write(batch, CONTACTS, wanted, entity=Entity.CONTACTS)


def _tagged(record: Found | None, names: Sequence[str]) -> dict[str, list[str]]:
    """What a row says of tags: it adds some, and takes none off."""
    if record is not None:
        return with_tags(record.tags, names)
    return {"tags": list(names)} if names else {}


def _with_known(record: Found, fields: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """The lists of a known contact with what a row adds; a primary one that the row changes leads its list."""
    state = record._asdict()
    changed = {name: fields[name] for name in ("email", "phone") if fields[name] not in (None, state[name])}
    lists = channels.follow(state, changed)
    return {field: joined(field, lists[field], added) for field, added in more.items()}


def _by_id(known: Sequence[Found], merged: Mapping[str, UUID]) -> dict[str, Found]:
    """Records by the ids that files know them by, their own and those of what was merged into them."""
    ours = {one.id: one for one in known}
    survivors = {asked: ours[survivor] for asked, survivor in merged.items() if survivor in ours}
    return survivors | {one.external_id or str(one.id): one for one in known}


def _find(row: Row, column: str, look_up: Callable[[str | None], UUID | None]) -> UUID | None:
    try:
        return look_up(row[column])
    except UnknownNameError as error:
        raise _Refused(column, error) from error


def _fail(batch: Batch, row: Row, refused: _Refused) -> None:
    line = Line(row[FILE], row[ROW])
    batch.fail(line, refused.column, value=row[refused.column], problem=refused.error.problem, fix=refused.error.fix)


def _fail_cell(batch: Batch, row: Row, bad: BadCellError) -> None:
    line = Line(row[FILE], row[ROW])
    batch.fail(line, bad.column, value=row[bad.column], problem=bad.problem, fix="Correct it, or leave it out.")


def _known(row: Row, column: str, by_id: Mapping[str, Found], same: Sequence[Found], on_duplicate: str) -> Found | None:
    """The record that a row speaks of: by its external id, else the only one that is the same without another id."""
    external_id = row["external_id"]
    if external_id in by_id:
        return by_id[external_id]
    if on_duplicate == "create":
        return None
    fitting = [one for one in same if external_id is None or one.external_id is None]
    if len(fitting) > 1:
        raise _Refused(column, UnknownNameError("Several records are called so.", fix=_GIVE_ID))
    return fitting[0] if fitting else None


def _grouped(pairs: Iterable[tuple[Any, Found]]) -> dict[Any, list[Found]]:
    groups: dict[Any, list[Found]] = {}
    for key, one in pairs:
        groups.setdefault(key, []).append(one)
    return groups


async def _write(batch: Batch, kind: RecordKind, wanted: Sequence[_Wanted], *, entity: Entity) -> None:
    """Create what is new, change what differs. An empty cell leaves what is known."""
    new = [one for one in wanted if one.record is None]
    for start in range(0, len(new), _SENT_AHEAD):
        _create(batch, kind, new[start : start + _SENT_AHEAD])
        await batch.unit.send_ahead()  # PostgreSQL writes these while the next ones are made
    batch.count(entity, RowResult.CREATED, rows=len(new))
    known = [] if batch.options.on_duplicate == "skip" else [one for one in wanted if one.record is not None]
    decided = [records.change(kind, one.state, _said(one.state, one.fields), custom=one.custom) for one in known]
    changed = [decision for decision in decided if decision is not None]
    records.write_changed(batch.unit, kind, changed)
    for decision in changed:
        if decision.beside:
            kind.keep(batch.unit, decision.state["id"], decision.beside)  # type: ignore[arg-type]  # an id in each
    for one in (*new, *known):
        if one.custom is not None:
            custom.claim(batch.unit, kind.noun, one.id, one.custom)
    batch.count(entity, RowResult.UPDATED, rows=len(changed))
    batch.count(entity, RowResult.UNCHANGED, rows=len(wanted) - len(new) - len(changed))


def _create(batch: Batch, kind: RecordKind, new: Sequence[_Wanted]) -> None:
    own = [{name: one.fields[name] for name in one.fields if name not in kind.beside} for one in new]
    records.write_new(
        batch.unit,
        kind,
        [records.create(kind, row, id=one.id, custom=one.custom) for one, row in zip(new, own, strict=True)],
    )
    channels.add(
        batch.unit,
        [
            (one.id, beside)
            for one in new
            if (beside := {name: one.fields[name] for name in kind.beside if name in one.fields and name != "tags"})
        ],
    )
    for one in new:
        if "tags" in one.fields:
            tags.put_on(batch.unit, kind.noun, one.id, one.fields["tags"])


def _said(state: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says of a known record. Our own id, by which an export tells of it, is no other system's."""
    said = {name: value for name, value in fields.items() if value is not None}
    return {name: value for name, value in said.items() if name != "external_id" or value != str(state["id"])}
