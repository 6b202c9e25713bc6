"""Records that a new one may be: found when it is made, by what only one should have.

    POST /v1/contacts?on_duplicate=refuse

What counts is said by the kind (`RecordKind.alike`); likeness of names is a suggestion and asks nobody here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from api.kernel.errors import Conflict
from api.kernel.records import Owners, RecordKind, change_record, create_record, read_record
from api.kernel.unit_of_work import Row, UnitOfWork, Values

#: What to do where a new record may be one that there is.
OnDuplicate = Literal["create", "refuse", "merge"]


class DuplicateFound(Conflict):
    """There is such a record, or several; `candidates` names them."""

    code = "duplicate_found"

    def __init__(self, noun: str, found: Sequence[Row]) -> None:
        self.found = list(found)
        super().__init__(
            f"There is such a {noun} already; candidates names it. Change that one, or send on_duplicate=create."
            if len(found) == 1
            else f"There are several such records ({noun}); candidates names them. Merge them, or choose one."
        )

    def problem(self) -> dict[str, Any]:
        """The document, with the records that it may be."""
        shown = [{"id": str(row.id), "name": row.name, "reason": row.reason} for row in self.found]
        return super().problem() | {"candidates": shown}


async def make(
    unit: UnitOfWork, kind: RecordKind, given: Mapping[str, Any], *, on_duplicate: OnDuplicate, owners: Owners
) -> tuple[Values, bool]:
    """Create a record, unless the caller sees one that it may be; answers it, and whether it is new.

    `merge` gives the one that there is what it lacks and changes nothing that it has.

    Raises:
        DuplicateFound: there is one, or, to merge with, more than one.
        UnknownReference, ExternalIdTaken, BadCustomValue, CustomValueTaken: as in `create_record`.
    """
    if on_duplicate == "create":
        return await create_record(unit, kind, given), True
    asked = kind.asking(given)
    values = kind.read(given, await unit.fetch_all(*asked) if asked else [])
    found = await _candidates(unit, kind, values, owners)
    if not found:
        return await create_record(unit, kind, given), True
    if on_duplicate == "refuse" or len(found) > 1:
        raise DuplicateFound(kind.noun, found)
    before = (await read_record(unit, kind, found[0].id, owners=owners))._asdict()
    more = _lacking(kind, before, kind.fill(before, values))
    known = await change_record(unit, kind, found[0].id, owners=owners, expected_version=before["version"], given=more)
    return known, False


async def _candidates(unit: UnitOfWork, kind: RecordKind, values: Mapping[str, Any], owners: Owners) -> list[Row]:
    seen = None if owners is None else list(owners)
    best: dict[UUID, Row] = {}
    for row in await unit.fetch(kind.same, owners=seen, **kind.alike(values)) if kind.same is not None else []:
        best.setdefault(row.id, row)
    return list(best.values())


def _lacking(kind: RecordKind, before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a body says of fields that a record lacks. Nobody's record is a decision: owners stay."""
    more: dict[str, Any] = {}
    for name, value in given.items():
        if name == "custom":
            fresh = {key: one for key, one in value.items() if key not in before["custom"]}
            more |= {"custom": fresh} if fresh else {}
        elif name == "tags":
            known = {one.lower() for one in before["tags"]}
            added = [one for one in value if one.lower() not in known]
            more |= {"tags": sorted([*before["tags"], *added], key=str.lower)} if added else {}
        elif name in kind.beside and value is not None:
            more[name] = value  # whole lists, as the kind filled them
        elif name != "owner_id" and value is not None and before[name] is None:
            more[name] = value
    return more
