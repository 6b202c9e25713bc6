"""Companies and contacts that rows name: by the id they have in the other system, else by a name or address of one.

An id counts more than a name. Several that fit are no match: whoever wrote the file knows which one it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, func, or_, select, text
from uuid_utils.compat import uuid7

from api.companies.records import COMPANIES
from api.contacts.records import CONTACTS
from api.db.statements import compiled, is_one_of
from api.imports.batch import Batch
from api.imports.directory import UnknownNameError
from api.imports.options import Creatable
from api.kernel import records
from api.kernel.external_ids import own_ids
from api.kernel.records import RecordKind
from api.kernel.unit_of_work import Row as Found
from api.models.company import Company
from api.models.contact import Contact
from api.models.contact_channel import ContactChannel

Row = Mapping[str, Any]

_organization: Any = bindparam("organization_id")

_company = (
    select(Company.__table__)
    .where(
        Company.organization_id == _organization,
        or_(
            is_one_of(func.lower(Company.name), "names"),
            is_one_of(Company.external_id, "external_ids"),
            and_(Company.external_id.is_(None), is_one_of(Company.id, "own_ids")),
            is_one_of(Company.id, "survivors"),
        ),
    )
    .order_by(Company.id)
)
_COMPANIES = compiled(_company, is_prepared=False)
_LOCKED_COMPANIES = compiled(
    _company.add_columns(*(one.label(name) for name, one in COMPANIES.beside.items())).with_for_update(of=Company),
    is_prepared=False,
)
_has_address = Contact.id.in_(
    select(ContactChannel.contact_id).where(
        ContactChannel.organization_id == _organization,
        ContactChannel.kind == "email",
        is_one_of(ContactChannel.key, "emails"),
    )
)
_contact = (
    select(Contact.__table__, *(one.label(name) for name, one in CONTACTS.beside.items()))
    .where(
        Contact.organization_id == _organization,
        or_(
            is_one_of(Contact.external_id, "external_ids"),
            and_(Contact.external_id.is_(None), is_one_of(Contact.id, "own_ids")),
            is_one_of(Contact.id, "survivors"),
            _has_address,
            is_one_of(func.lower(Contact.name), "names"),
        ),
    )
    .order_by(Contact.id)
)
_CONTACTS = compiled(_contact, is_prepared=False)
_LOCKED_CONTACTS = compiled(_contact.with_for_update(of=Contact), is_prepared=False)


_MERGED = compiled(
    text("""
with recursive chain as (
    select a.asked, m.survivor_id, 1 as depth
    from unnest(cast(:external_ids as text[])) as a (asked) join merged_records as m
        on m.organization_id = :organization_id and m.kind = :kind and m.undone_at is null
            and (m.external_id = a.asked or m.external_id is null and m.merged_id::text = a.asked)
    union all
    select c.asked, m.survivor_id, c.depth + 1 from chain as c join merged_records as m
        on m.organization_id = :organization_id and m.merged_id = c.survivor_id and m.undone_at is null
)
select distinct on (asked) asked, survivor_id from chain order by asked, depth desc
"""),
    is_prepared=False,
)


async def merged_ids(batch: Batch, noun: str, external_ids: Iterable[str | None]) -> dict[str, UUID]:
    """Ids of records that are part of others now, and those others."""
    wanted = [one for one in external_ids if one]
    if not wanted:
        return {}
    rows = await batch.unit.fetch(_MERGED, kind=noun, external_ids=wanted)
    return {row.asked: row.survivor_id for row in rows}


@dataclass
class Companies:
    """Companies by external id and by lower-case name."""

    by_id: dict[str, UUID] = field(default_factory=dict)
    by_name: dict[str, set[UUID]] = field(default_factory=dict)

    def find(self, row: Row) -> UUID | None:
        """The company of a row; None where it names none.

        Raises:
            UnknownNameError: there is none, or several have the name.
        """
        external_id, name = row["company_external_id"], row["company"]
        if external_id is not None and external_id in self.by_id:
            return self.by_id[external_id]
        if name is None and external_id is None:
            return None
        candidates = self._named(name)
        if len(candidates) > 1:
            raise UnknownNameError(
                "Several companies have this name.",
                fix="Give the id that the company was imported with, in the column company_external_id.",
            )
        if candidates and external_id is None:
            return next(iter(candidates))
        if name and ";" in name:
            raise UnknownNameError("These are several companies.", fix="Leave the one that the row belongs to.")
        raise UnknownNameError(
            "There is no such company.", fix="Import companies first, or let the import create missing ones."
        )

    def _named(self, name: str | None) -> set[UUID]:
        """By name; a cell may as well hold the id."""
        if name is None:
            return set()
        by_id = {self.by_id[name]} if name in self.by_id else set()
        return by_id | self.by_name.get(name.lower(), set())


@dataclass
class Contacts:
    """Contacts by external id and by address."""

    by_id: dict[str, UUID] = field(default_factory=dict)
    by_email: dict[str, set[UUID]] = field(default_factory=dict)

    def find(self, row: Row) -> UUID | None:
        """The contact of a row; None where it names none.

        Raises:
            UnknownNameError: there is none, or several have the address.
        """
        external_id, email = row["contact_external_id"], row["contact_email"]
        if external_id is not None and external_id in self.by_id:
            return self.by_id[external_id]
        if external_id is None and email is None:
            return None
        candidates = self.by_email.get(email, set()) if external_id is None else set()
        if len(candidates) > 1:
            raise UnknownNameError(
                "Several contacts have this e-mail address.",
                fix="Give the id that the contact was imported with, in the column contact_external_id.",
            )
        if candidates:
            return next(iter(candidates))
        raise UnknownNameError(
            "There is no such contact.", fix="Import contacts first, or let the import create missing ones."
        )


async def load_companies(batch: Batch, rows: Iterable[Row]) -> Companies:
    """The companies that rows name; missing ones are made if the options allow."""
    wanted = {(row["company_external_id"], row["company"]): None for row in rows}
    found = await companies_named(
        batch, [name for _, name in wanted if name], [one for pair in wanted for one in pair if one]
    )
    known = Companies()
    for one in found:
        _enter_company(known, one.id, one.name, one.external_id)
    known.by_id |= await merged_ids(batch, "company", (one for pair in wanted for one in pair))
    if batch.options.may_create(Creatable.COMPANIES):
        _make_companies(batch, known, [(external_id, name) for external_id, name in wanted if name])
    return known


def _make_companies(batch: Batch, known: Companies, wanted: Sequence[tuple[str | None, str]]) -> None:
    missing: dict[str, dict[str, str | None]] = {}
    for external_id, name in wanted:
        is_known = external_id in known.by_id if external_id else name in known.by_id or name.lower() in known.by_name
        if not is_known and (external_id or ";" not in name):
            missing.setdefault(external_id or f"\0{name.lower()}", {"name": name, "external_id": external_id})
    made = create(batch, COMPANIES, list(missing.values()))
    batch.note_created("companies", [str(one["name"]) for one in missing.values()])
    for id_, one in zip(made, missing.values(), strict=True):
        _enter_company(known, id_, str(one["name"]), one["external_id"])


def _enter_company(known: Companies, id_: UUID, name: str, external_id: str | None) -> None:
    known.by_name.setdefault(name.lower(), set()).add(id_)
    known.by_id[external_id or str(id_)] = id_


async def companies_named(
    batch: Batch, names: Sequence[str], external_ids: Sequence[str | None], *, lock: bool = False
) -> list[Found]:
    """Companies that have one of the names or external ids."""
    ids = [one for one in external_ids if one]
    survivors = list((await merged_ids(batch, "company", ids)).values())
    wanted = {"names": [name.lower() for name in names], "external_ids": ids, "own_ids": own_ids(ids)}
    wanted["survivors"] = survivors
    return await batch.unit.fetch(_LOCKED_COMPANIES if lock else _COMPANIES, **wanted)


async def load_contacts(batch: Batch, rows: Sequence[Row], companies: Companies) -> Contacts:
    """The contacts that rows name; missing ones are made if the options allow, at the row's company."""
    emails = {row["contact_email"]: row for row in rows if row["contact_email"] and not row["contact_external_id"]}
    ids = {row["contact_external_id"] for row in rows if row["contact_external_id"]}
    merged = await merged_ids(batch, "contact", ids)
    found = await batch.unit.fetch(
        _CONTACTS, external_ids=list(ids), own_ids=own_ids(ids), survivors=[], emails=list(emails), names=[]
    )
    known = Contacts(by_id={one.external_id or str(one.id): one.id for one in found} | merged)
    for one in found:
        for email in one.emails:
            known.by_email.setdefault(email["value"].lower(), set()).add(one.id)
    missing = [email for email in emails if email not in known.by_email]
    if missing and batch.options.may_create(Creatable.CONTACTS):
        new = [
            {"name": email.split("@")[0], "email": email, "company_id": _company_of(companies, emails[email])}
            for email in missing
        ]
        for email, id_ in zip(missing, create(batch, CONTACTS, new), strict=True):
            known.by_email[email] = {id_}
        batch.note_created("contacts", missing)
    return known


def _company_of(companies: Companies, row: Row) -> UUID | None:
    """The company beside a contact's address; a row whose company is not clear is refused for that."""
    try:
        return companies.find(row)
    except UnknownNameError:
        return None


async def contacts_like(batch: Batch, rows: Sequence[Row], survivors: Iterable[UUID]) -> list[Found]:
    """Contacts that rows of contacts may speak of, locked."""
    return await batch.unit.fetch(
        _LOCKED_CONTACTS,
        external_ids=[row["external_id"] for row in rows if row["external_id"]],
        own_ids=own_ids(row["external_id"] for row in rows),
        survivors=list(survivors),
        emails=[row["email"] for row in rows if row["email"]],
        names=[row["name"].lower() for row in rows if not row["email"]],
    )


def create(batch: Batch, kind: RecordKind, rows: Sequence[Mapping[str, Any]]) -> list[UUID]:
    """Queue new records; answers their ids."""
    ids = [uuid7() for _ in rows]
    records.write_new(batch.unit, kind, [records.create(kind, row, id=one) for one, row in zip(ids, rows, strict=True)])
    return ids
