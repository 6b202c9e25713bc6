"""Cells that hold several things: addresses (`personal: ada@home.example; ada@old.example`) or tags."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from api.contacts.channels import key_of
from api.contacts.schemas import EmailAddress, Handle, Phone
from api.kernel import phones
from api.kernel.tags import Tags

#: Column -> the field of a contact, its kind, the type where a cell gives none, and who judges one of it.
_COLUMNS: Mapping[str, tuple[str, str, str, TypeAdapter[Any]]] = {
    "more_emails": ("emails", "email", "other", TypeAdapter(EmailAddress)),
    "more_phones": ("phones", "phone", "other", TypeAdapter(Phone)),
    "handles": ("handles", "handle", "other", TypeAdapter(Handle)),
}


_TAGS: TypeAdapter[list[str]] = TypeAdapter(Tags)


class BadCellError(ValueError):
    """A cell that holds something else."""

    def __init__(self, column: str, problem: str) -> None:
        self.column, self.problem = column, problem
        super().__init__(problem)


def read_cells(row: Mapping[str, Any], region: str | None) -> dict[str, list[dict[str, Any]]]:
    """The addresses of a row besides its primary ones, by the field that lists them.

    Raises:
        BadCellError: one is none.
    """
    found = {}
    for column, (field, kind, _, _) in _COLUMNS.items():
        if row[column]:
            primary = key_of(kind, "", row[kind]) if kind != "handle" and row[kind] else None
            found[field] = _distinct(kind, _read(column, row[column], region), primary)
    return found


def read_tags(row: Mapping[str, Any]) -> list[str]:
    """The tags of a row: `hot; met at the fair`.

    Raises:
        BadCellError: one is none.
    """
    parts = [one.strip() for one in (row["tags"] or "").split(";")]
    try:
        return _TAGS.validate_python([one for one in parts if one])
    except ValidationError as error:
        raise BadCellError("tags", f"{error.errors()[0]['msg']}.") from error


def with_tags(before: Sequence[str], more: Sequence[str]) -> dict[str, list[str]]:
    """The field of a known record's tags, where it lacks some."""
    known = {name.lower() for name in before}
    new = [name for name in more if name.lower() not in known]
    return {"tags": sorted([*before, *new], key=str.lower)} if new else {}


def _read(column: str, cell: str, region: str | None) -> Iterator[dict[str, Any]]:
    _, kind, default, adapter = _COLUMNS[column]
    for part in filter(None, (one.strip() for one in cell.split(";"))):
        before, colon, after = part.partition(": ")
        type_, value = (before.strip().lower(), after.strip()) if colon else (default, part)
        try:
            value = phones.e164(value, region) if kind == "phone" else value
            one = adapter.validate_python({"type": type_, "value": value})
        except phones.BadPhoneError as error:
            raise BadCellError(column, f"{part!r}: {error}") from error
        except ValidationError as error:
            raise BadCellError(column, f"{part!r}: {error.errors()[0]['msg']}.") from error
        yield {"type": one.type, "value": str(one.value), "is_primary": False}


def _distinct(kind: str, found: Iterator[dict[str, Any]], primary: str | None) -> list[dict[str, Any]]:
    by_key = {key_of(kind, one["type"], one["value"]): one for one in found}
    return [one for key, one in by_key.items() if key != primary]


def joined(field: str, before: Sequence[dict[str, Any]], more: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A contact's list with those that it lacks."""
    kind = next(kind for name, kind, _, _ in _COLUMNS.values() if name == field)
    known = {key_of(kind, one["type"], one["value"]) for one in before}
    return [*before, *(one for one in more if key_of(kind, one["type"], one["value"]) not in known)]
