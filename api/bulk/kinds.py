"""What can be changed in bulk besides deals: contacts and companies, by the fields that people fill."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from api.companies.records import COMPANIES
from api.companies.schemas import CompanyCreate
from api.contacts.records import CONTACTS
from api.contacts.schemas import ContactCreate
from api.deals.actions import TagWith
from api.edge.records import change_model
from api.kernel.actions import ActionParameters
from api.kernel.records import RecordKind


class AssignRecord(ActionParameters):
    """To a person; null for nobody."""

    user_id: UUID | None


@dataclass(frozen=True)
class BulkKind:
    """A kind of records, and the model of its changes."""

    kind: RecordKind
    change: type[BaseModel]


KINDS: Mapping[str, BulkKind] = {
    "contact": BulkKind(CONTACTS, change_model(ContactCreate)),
    "company": BulkKind(COMPANIES, change_model(CompanyCreate)),
}


@dataclass(frozen=True)
class RecordAction:
    """What is done to records of a kind; `verb`: assign, set, tag or delete."""

    of: BulkKind
    verb: str
    parameters: BaseModel | None

    def given(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that a record gets."""
        if isinstance(self.parameters, AssignRecord):
            return {"owner_id": self.parameters.user_id}
        if isinstance(self.parameters, TagWith):
            removed = {name.lower() for name in self.parameters.remove}
            kept = {name.lower(): name for name in before["tags"] if name.lower() not in removed}
            kept |= {name.lower(): name for name in self.parameters.add if name.lower() not in kept}
            return {"tags": sorted(kept.values(), key=str.lower)}
        return _sent(self.parameters)


#: Verb -> its parameters; what a kind's change takes where it is `set`.
VERBS: Mapping[str, type[BaseModel] | None] = {"assign": AssignRecord, "set": None, "tag": TagWith, "delete": None}


def as_body(kind: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that a record had, as its change takes them."""
    return _sent(KINDS[kind].change.model_validate(before))


def had(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a record had in the fields that it is given, as JSON."""
    kept = {name: before[name] for name in given if name != "custom"}
    if given.get("custom"):
        kept["custom"] = {key: before["custom"].get(key) for key in given["custom"]}
    return {name: str(value) if isinstance(value, UUID) else value for name, value in kept.items()}


def _sent(body: BaseModel | None) -> dict[str, Any]:
    if body is None:
        return {}
    values = body.model_dump()
    return {name: values[name] for name in body.model_fields_set}
