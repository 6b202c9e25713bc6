"""The columns that an organization's custom fields are in files: named `custom:<name>`, known by the name alone too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select

from api.db.statements import compiled
from api.imports.presets import Column, Entity, ValueKind
from api.kernel.custom import FieldType
from api.kernel.unit_of_work import UnitOfWork
from api.models.custom_field import CustomField

PREFIX = "custom:"
#: Entity -> what custom fields call its records.
NOUNS: Mapping[Entity, str] = {Entity.COMPANIES: "company", Entity.CONTACTS: "contact", Entity.DEALS: "deal"}
_KINDS: Mapping[FieldType, ValueKind] = {
    FieldType.NUMBER: ValueKind.NUMBER,
    FieldType.MONEY: ValueKind.AMOUNT,
    FieldType.DATE: ValueKind.DAY,
    FieldType.PERSON: ValueKind.USER,
}
_LONGEST = 3_200
CustomColumns = Mapping[Entity, Sequence["CustomColumn"]]
_FIELDS = compiled(
    select(CustomField.id, CustomField.record_kind, CustomField.name, CustomField.type, CustomField.choices)
    .where(
        CustomField.organization_id == bindparam("organization_id"),
        ~CustomField.is_retired,
        CustomField.type != FieldType.COMPUTED.value,
    )
    .order_by(CustomField.position, CustomField.id)
)


@dataclass(frozen=True)
class CustomColumn:
    """A custom field as a column."""

    id: UUID
    label: str
    type: FieldType
    labels: tuple[str, ...] = ()
    choice_ids: tuple[str, ...] = ()

    @classmethod
    def stored(cls, one: Mapping[str, Any]) -> "CustomColumn":
        """As an import's row keeps it."""
        return cls(
            UUID(str(one["id"])),
            one["label"],
            FieldType(one["type"]),
            tuple(one["labels"]),
            tuple(one["choice_ids"]),
        )

    @cached_property
    def name(self) -> str:
        """What the column is called."""
        return PREFIX + "_".join(self.label.strip().lower().replace("-", " ").replace("_", " ").split())

    @property
    def currency(self) -> str:
        """What the column of the currency beside an amount is called."""
        return f"{self.name} currency"

    @cached_property
    def choices(self) -> Mapping[str, str]:
        """Ids of choices by label in small letters, and by themselves."""
        labelled = {label.lower(): id_ for label, id_ in zip(self.labels, self.choice_ids, strict=True)}
        return {id_.lower(): id_ for id_ in self.choice_ids} | labelled

    @property
    def column(self) -> Column:
        """How its cells are read."""
        return Column(self.name, _KINDS.get(self.type, ValueKind.TEXT), max_length=_LONGEST, is_title=True)


async def custom_columns(unit: UnitOfWork) -> CustomColumns:
    """The custom fields of an organization as columns, by entity."""
    found: dict[Entity, list[CustomColumn]] = {entity: [] for entity in NOUNS}
    entities = {noun: entity for entity, noun in NOUNS.items()}
    for row in await unit.fetch(_FIELDS):
        labels = tuple(choice["label"] for choice in row.choices)
        ids = tuple(choice["id"] for choice in row.choices)
        if row.record_kind in entities:
            column = CustomColumn(row.id, row.name, FieldType(row.type), labels, ids)
            found[entities[row.record_kind]].append(column)
    return found
