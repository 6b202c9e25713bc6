"""Cells of custom fields: a column for each field of the organization's, headed by its name or as `custom:<name>`.

A file keeps which fields there were when it came, so that a job that is taken up again reads it alike. What a value may
be is said by the kernel's rules; here the text of a cell becomes what those take.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select
from uuid_utils.compat import uuid7

from api.db.statements import compiled, is_one_of
from api.imports.batch import Batch
from api.imports.channel_cells import BadCellError
from api.imports.custom_columns import CustomColumn
from api.imports.directory import Directory, UnknownNameError
from api.imports.prepare import FILE
from api.imports.price_cells import minor_of
from api.kernel import custom
from api.kernel.custom import BadCustomValue, Custom, Definition, FieldType
from api.kernel.unit_of_work import Row as Found
from api.models.custom_field import CustomUniqueValue
from contracts.money import MINOR_DIGITS

Row = Mapping[str, Any]

_TAKEN = compiled(
    select(CustomUniqueValue.field_id, CustomUniqueValue.value, CustomUniqueValue.record_id).where(
        CustomUniqueValue.organization_id == bindparam("organization_id"),
        is_one_of(CustomUniqueValue.field_id, "field_ids"),
        is_one_of(CustomUniqueValue.value, "values"),
    ),
    is_prepared=False,
)


@dataclass
class CustomCells:
    """Custom values of a chunk of rows of one kind of records."""

    noun: str
    directory: Directory
    currency: str
    columns: Sequence[CustomColumn]
    definitions: Sequence[Definition] = ()
    #: Field and value -> the record that has it, where only one may.
    taken: dict[tuple[UUID, str], UUID] = field(default_factory=dict)

    @classmethod
    async def load(cls, batch: Batch, directory: Directory, noun: str, *, rows: Sequence[Row]) -> "CustomCells":
        """What reading these rows needs to know; nothing where their files have no such columns."""
        files = [batch.run.files[number] for number in {row[FILE] for row in rows}]
        columns = {one.id: one for file in files for one in file.file.custom if one.name in file.positions}
        cells = cls(noun, directory, batch.run.currency, list(columns.values()))
        if not columns:
            return cells
        [found] = await batch.unit.fetch_all(custom.defining(noun))
        cells.definitions = custom.definitions(found)
        asked = [columns[one.id] for one in cells.definitions if one.is_unique and one.id in columns]
        said = {text for row in rows for one in asked if (text := cells.text(one, row)) is not None}
        if said:
            taken = await batch.unit.fetch(_TAKEN, field_ids=[one.id for one in asked], values=sorted(said))
            cells.taken = {(one.field_id, one.value): one.record_id for one in taken}
        return cells

    def read(self, row: Row, record: Found | None) -> tuple[UUID, Custom | None]:
        """Under which id a row's record is, a new one's too, and its custom values; None where nothing tells of any.

        Raises:
            BadCellError: a cell is no value of its field's, or another record has it.
        """
        id_: UUID = uuid7() if record is None else record.id
        return id_, self.values(row, id_, before=None if record is None else record.custom)

    def values(self, row: Row, record_id: UUID, *, before: Mapping[str, Any] | None) -> Custom | None:
        """The custom values of a record; `before`: those of a known one. Raises as `read`."""
        if not self.columns:
            return None
        given = {str(one.id): value for one in self.columns if (value := self.value(one, row)) is not None}
        by_id = {str(one.id): one.name for one in self.columns}
        try:
            made = (
                custom.begin(self.definitions, given)
                if before is None
                else custom.merge(self.definitions, before, given)
            )
        except BadCustomValue as bad:
            key = (bad.pointer or "").rpartition("/")[2]
            raise BadCellError(by_id.get(key, ""), str(bad)) from bad
        self._claim(made, record_id)
        return made

    def _claim(self, made: Custom, record_id: UUID) -> None:
        """Keep others of the chunk from what only one record may have."""
        names = {one.id: one.name for one in self.columns}
        wanted = [(one.id, custom.as_text(made.values[str(one.id)]).lower()) for one in made.changed if one.is_unique]
        for field_id, value in wanted:
            if self.taken.get((field_id, value), record_id) != record_id:
                raise BadCellError(names[field_id], "Another record has this value, which is to be unique.")
        self.taken |= dict.fromkeys(wanted, record_id)

    def value(self, column: CustomColumn, row: Row) -> Any:  # noqa: ANN401 # JSON
        """What a row says of a field, as the API would take it; None for nothing."""
        cell = row.get(column.name)
        if cell is None:
            return None
        return _READERS[column.type](self, column, cell, row)

    def text(self, column: CustomColumn, row: Row) -> str | None:
        """The same as it is kept where it must be unique; None for what `read` refuses."""
        try:
            value = self.value(column, row)
        except BadCellError:
            return None
        return None if value is None else custom.as_text(value).lower()

    def person(self, column: CustomColumn, cell: str) -> str | None:
        """The id of a user."""
        try:
            found = self.directory.user_id(cell)
        except UnknownNameError as unknown:
            raise BadCellError(column.name, unknown.problem) from unknown
        return str(found) if found is not None else None


def _choice(column: CustomColumn, label: str) -> str:
    """The id of a choice, by its label or by itself."""
    found = column.choices.get(label.lower())
    if found is None:
        known = ", ".join(column.labels)
        raise BadCellError(column.name, f"There is no choice {label!r}; there are {known}.")
    return found


def _number(digits: str) -> int | float:
    return int(digits) if "." not in digits else float(digits)


def _money(cells: CustomCells, column: CustomColumn, digits: str, row: Row) -> dict[str, Any]:
    currency = row.get(column.currency) or cells.currency
    if currency not in MINOR_DIGITS:
        raise BadCellError(column.name, f"What stands beside the number, {currency!r}, is no currency, or several.")
    return {"amount_minor": minor_of(digits, currency), "currency": currency}


_READERS: Mapping[FieldType, Callable[[CustomCells, CustomColumn, Any, Row], Any]] = {
    FieldType.TEXT: lambda _, __, cell, ___: cell,
    FieldType.LINK: lambda _, __, cell, ___: cell,
    FieldType.NUMBER: lambda _, __, cell, ___: _number(cell),
    FieldType.MONEY: _money,
    FieldType.DATE: lambda _, __, cell, ___: cell.isoformat(),
    FieldType.CHOICE: lambda _, column, cell, ___: _choice(column, cell),
    FieldType.CHOICES: lambda _, column, cell, ___: [
        _choice(column, one.strip()) for one in cell.split(";") if one.strip()
    ],
    FieldType.PERSON: lambda cells, column, cell, _: cells.person(column, cell),
}
