"""Rules of picklists: a value is known by its id, and no list holds two labels that differ only in case. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from uuid_utils.compat import uuid7


class Picklist(StrEnum):
    """The picklists there are."""

    SOURCE = "source"
    LOST_REASON = "lost_reason"
    INDUSTRY = "industry"


@dataclass(frozen=True, kw_only=True)
class PicklistValue:
    """One value that may be chosen."""

    id: UUID
    picklist: str
    label: str


Key = tuple[str, str]


def key_of(picklist: str, label: str) -> Key:
    """What makes a value the same: its list and its label in any case."""
    return picklist, label.lower()


def missing_values(known: Mapping[Key, UUID], wanted: Iterable[tuple[str, str]]) -> list[PicklistValue]:
    """New values for those wanted `(picklist, label)` that are not known, each once."""
    new = {key_of(picklist, label): (picklist, label) for picklist, label in wanted}
    return [
        PicklistValue(id=uuid7(), picklist=picklist, label=label)
        for key, (picklist, label) in new.items()
        if key not in known
    ]
