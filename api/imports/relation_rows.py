"""Rows of companies and contacts files, and the companies and contacts that other rows name."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import polars as pl
from sqlalchemy import bindparam, func, or_, select
from uuid_utils.compat import uuid7

from api.companies.records import COMPANIES
from api.contacts.records import CONTACTS
from api.db.statements import compiled, is_one_of
from api.imports.batch import Batch, Line, RowResult
from api.imports.directory import Directory, UnknownNameError
from api.imports.options import Creatable
from api.imports.prepare import FILE, ROW
from api.imports.presets import Entity
from api.kernel import records
from api.kernel.records import RecordKind
from api.kernel.unit_of_work import Row as Found
from api.models.company import Company
from api.models.contact import Contact

Row = Mapping[str, Any]

_organization: Any = bindparam("organization_id")

_company = (
    select(Company.__table__)
    .where(
        Company.organization_id == _organization,
        or_(is_one_of(func.lower(Company.name), "names"), is_one_of(Company.external_id, "external_ids")),
    )
    .order_by(Company.id)
)
_COMPANIES = compiled(_company, is_prepared=False)
_LOCKED_COMPANIES = compiled(_company.with_for_update(), is_prepared=False)
_LOCKED_CONTACTS = compiled(
    select(Contact.__table__)
    .where(
        Contact.organization_id == _organization,
        or_(
            is_one_of(Contact.external_id, "external_ids"),
            is_one_of(func.lower(Contact.email), "emails"),
            is_one_of(func.lower(Contact.name), "names"),
        ),
    )
    .order_by(Contact.id)
    .with_for_update(),
    is_prepared=False,
)
_BY_EMAIL = compiled(
    select(func.lower(Contact.email).label("address"), Contact.id)
    .where(Contact.organization_id == _organization, is_one_of(func.lower(Contact.email), "emails"))
    .order_by(Contact.id.desc()),
    is_prepared=False,
)


class _Refused(ValueError):
    """A row's reference that leads nowhere."""

    def __init__(self, column: str, error: UnknownNameError) -> None:
        super().__init__(str(error))
        self.column, self.error = column, error


async def write_companies(batch: Batch, directory: Directory, frame: pl.DataFrame) -> None:
    """Write a chunk of companies. A row is a known company's by its external id, else by its name."""
    rows = frame.to_dicts()
    known = await _companies(batch, [row["name"] for row in rows], [row["external_id"] for row in rows], lock=True)
    wanted = []
    for row in rows:
        try:
            owner_id = _find(row, "owner_email", directory.user_id)
            industry_id = _find(row, "industry", partial(directory.value_id, "industry"))
        except _Refused as refused:
            _fail(batch, row, refused)
            continue
        record = known.get(f"0:{row['external_id']}") or known.get(f"1:{row['name'].lower()}")
        if record is not None and row["external_id"] and record.external_id not in (None, row["external_id"]):
            record = None
        fields = {
            "name": row["name"],
            "domain": row["domain"],
            "industry_id": industry_id,
            "employee_count": row["employees"],
            "country": row["country"],
            "owner_id": owner_id,
            "external_id": row["external_id"],
        }
        wanted.append((record, fields))
    _write(batch, COMPANIES, wanted, entity=Entity.COMPANIES)


async def write_contacts(batch: Batch, directory: Directory, frame: pl.DataFrame) -> None:
    """Write a chunk of contacts. A row is a known contact's by its external id, its e-mail, or its name and company."""
    rows = frame.to_dicts()
    companies = await company_ids(batch, [row["company"] for row in rows])
    known = await _contacts(batch, rows)
    wanted = []
    for row in rows:
        try:
            owner_id = _find(row, "owner_email", directory.user_id)
            source_id = _find(row, "source", partial(directory.value_id, "source"))
            company_id = _find(row, "company", partial(company_of, companies))
        except _Refused as refused:
            _fail(batch, row, refused)
            continue
        fields = {
            "name": row["name"],
            "email": row["email"],
            "phone": row["phone"],
            "company_id": company_id,
            "owner_id": owner_id,
            "source_id": source_id,
            "external_id": row["external_id"],
        }
        wanted.append((_known_contact(known, fields), fields))
    _write(batch, CONTACTS, wanted, entity=Entity.CONTACTS)


async def company_ids(batch: Batch, names: Sequence[str | None]) -> dict[str, UUID]:
    """Ids of companies by lower-case name; missing ones are made if the options allow."""
    by_lower = {name.lower(): name for name in names if name}
    known = await _companies(batch, list(by_lower.values()), [], lock=False)
    ids = {lower: known[f"1:{lower}"].id for lower in by_lower if f"1:{lower}" in known}
    missing = [name for lower, name in by_lower.items() if lower not in ids]
    if missing and batch.options.may_create(Creatable.COMPANIES):
        made = _create(batch, COMPANIES, [{"name": name} for name in missing])
        batch.note_created("companies", missing)
        ids |= {name.lower(): id_ for name, id_ in zip(missing, made, strict=True)}
    return ids


async def contact_ids(batch: Batch, wanted: Mapping[str, UUID | None]) -> dict[str, UUID]:
    """Ids of contacts by e-mail address; missing ones are made if the options allow, at the company given."""
    found = await batch.unit.fetch(_BY_EMAIL, emails=list(wanted))
    ids: dict[str, UUID] = {row.address: row.id for row in found}
    missing = [email for email in wanted if email not in ids]
    if missing and batch.options.may_create(Creatable.CONTACTS):
        rows = [{"name": email.split("@")[0], "email": email, "company_id": wanted[email]} for email in missing]
        made = _create(batch, CONTACTS, rows)
        batch.note_created("contacts", missing)
        ids |= dict(zip(missing, made, strict=True))
    return ids


def company_of(companies: Mapping[str, UUID], name: str | None) -> UUID | None:
    """Id of a company named in a row; None for no name.

    Raises:
        UnknownNameError: it is not among them.
    """
    if name is None:
        return None
    if name.lower() not in companies:
        raise UnknownNameError(
            "There is no such company.", fix="Import companies first, or let the import create missing ones."
        )
    return companies[name.lower()]


def _find(row: Row, column: str, look_up: Callable[[str | None], UUID | None]) -> UUID | None:
    try:
        return look_up(row[column])
    except UnknownNameError as error:
        raise _Refused(column, error) from error


def _fail(batch: Batch, row: Row, refused: _Refused) -> None:
    line = Line(row[FILE], row[ROW])
    batch.fail(line, refused.column, value=row[refused.column], problem=refused.error.problem, fix=refused.error.fix)


async def _companies(
    batch: Batch, names: Sequence[str], external_ids: Sequence[str | None], *, lock: bool
) -> dict[str, Found]:
    """Companies by `0:<external id>` and `1:<lower-case name>`; the oldest where several share a name."""
    wanted = {"names": [name.lower() for name in names], "external_ids": [one for one in external_ids if one]}
    found = await batch.unit.fetch(_LOCKED_COMPANIES if lock else _COMPANIES, **wanted)
    by_name = {f"1:{one.name.lower()}": one for one in reversed(found)}
    return by_name | {f"0:{one.external_id}": one for one in found if one.external_id}


async def _contacts(batch: Batch, rows: Sequence[Row]) -> dict[str, Found]:
    found = await batch.unit.fetch(
        _LOCKED_CONTACTS,
        external_ids=[row["external_id"] for row in rows if row["external_id"]],
        emails=[row["email"] for row in rows if row["email"]],
        names=[row["name"].lower() for row in rows if not row["email"]],
    )
    known: dict[str, Found] = {}
    for one in reversed(found):
        known[f"2:{one.name.lower()}:{one.company_id}"] = one
        known |= {f"1:{one.email.lower()}": one} if one.email else {}
        known |= {f"0:{one.external_id}": one} if one.external_id else {}
    return known


def _known_contact(known: Mapping[str, Found], fields: Mapping[str, Any]) -> Found | None:
    external_id, email = fields["external_id"], fields["email"]
    if external_id and f"0:{external_id}" in known:
        return known[f"0:{external_id}"]
    found = known.get(f"1:{email}") if email else known.get(f"2:{fields['name'].lower()}:{fields['company_id']}")
    is_another = found is not None and external_id and found.external_id not in (None, external_id)
    return None if is_another else found


def _write(
    batch: Batch, kind: RecordKind, wanted: Sequence[tuple[Found | None, dict[str, Any]]], *, entity: Entity
) -> None:
    """Create what is new, change what differs. An empty cell leaves what is known."""
    new = [fields for record, fields in wanted if record is None]
    _create(batch, kind, new)
    batch.count(entity, RowResult.CREATED, rows=len(new))
    known = [(record._asdict(), fields) for record, fields in wanted if record is not None]
    decided = [
        records.change(kind, state, {name: value for name, value in fields.items() if value is not None})
        for state, fields in known
    ]
    changed = [decision for decision in decided if decision is not None]
    records.write_changed(batch.unit, kind, changed)
    for decision in decided:
        batch.count(entity, RowResult.UNCHANGED if decision is None else RowResult.UPDATED)


def _create(batch: Batch, kind: RecordKind, rows: Sequence[Mapping[str, Any]]) -> list[UUID]:
    ids = [uuid7() for _ in rows]
    records.write_new(batch.unit, kind, [records.create(kind, row, id=one) for one, row in zip(ids, rows, strict=True)])
    return ids
