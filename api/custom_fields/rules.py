"""Rules of custom fields. No I/O. What a field holds never changes, nor that its values are unique."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from uuid_utils.compat import uuid7

from api.db.values import JsonList
from api.kernel import changes, computed
from api.kernel.changes import Versioned, revised
from api.kernel.custom import Definition, FieldType
from api.kernel.errors import Conflict, Unprocessable
from contracts.events.custom_fields import CustomFieldCreated, CustomFieldUpdated

MOST_FIELDS = 100
_WITH_CHOICES = (FieldType.CHOICE, FieldType.CHOICES)
#: What people write may name somebody.
_PERSONAL = (FieldType.TEXT, FieldType.LINK)
_UNIQUE = (FieldType.TEXT, FieldType.NUMBER, FieldType.LINK)


class CustomFieldNameTaken(Conflict):
    """Another field of these records has this name."""

    code, detail = "custom_field_name_taken", "Another field of these records has this name."


class TooManyFields(Conflict):
    """There are as many fields as there can be."""

    code, detail = "too_many_fields", f"These records have {MOST_FIELDS} custom fields, and cannot have more."


class ChoicesMismatch(Unprocessable):
    """Fields of choices have some, others have none."""

    code, pointer = "choices_mismatch", "/choices"


class CannotBeUnique(Unprocessable):
    """Values of this type are alike on purpose."""

    code, pointer = "cannot_be_unique", "/is_unique"
    detail = "Only texts, numbers and links can be unique."


class ComputedMismatch(Unprocessable):
    """Computed fields have an expression and are filled by nobody, and are personal where it is; others have none."""

    code, pointer = "computed_mismatch", "/expression"


class FieldInUse(Conflict):
    """A computed field or the condition of a rule speaks of this one."""

    code = "custom_field_in_use"


@dataclass(frozen=True, kw_only=True)
class CustomField(Versioned):
    """One custom field."""

    record_kind: str
    name: str
    type: FieldType
    choices: list[dict[str, Any]]
    is_required: bool = False
    is_unique: bool = False
    is_personal: bool = False
    is_retired: bool = False
    expression: str | None = None
    position: int = 0

    @property
    def definition(self) -> Definition:
        """As its values see it."""
        labels = {choice["id"]: choice["label"] for choice in self.choices}
        flags = (self.is_required, self.is_unique, self.is_personal)
        return Definition(self.id, self.name, self.type, labels, *flags, self.expression)


Change = changes.Change[CustomField]


def create(known: Sequence[CustomField], given: Mapping[str, Any], *, now: datetime) -> Change:
    """One more field, behind the others.

    Raises:
        TooManyFields, CustomFieldNameTaken, ChoicesMismatch, CannotBeUnique, ComputedMismatch, BadExpression: as they
            say.
    """
    field_type = FieldType(given["type"])
    if len(known) >= MOST_FIELDS:
        raise TooManyFields
    _check_name(known, given["name"])
    if given["is_unique"] and field_type not in _UNIQUE:
        raise CannotBeUnique
    _check_expression(field_type, given, known)
    is_personal = given["is_personal"]
    if is_personal is None:
        is_personal = field_type in _PERSONAL or _reads_personal(given, known)
    field = CustomField(
        id=uuid7(),
        version=1,
        created_at=now,
        updated_at=now,
        record_kind=given["record_kind"],
        name=given["name"],
        type=field_type,
        choices=_choices(field_type, [], given["choices"]),
        is_required=given["is_required"],
        is_unique=given["is_unique"],
        is_personal=is_personal,
        expression=given["expression"],
        position=max((one.position for one in known), default=-1) + 1,
    )
    return Change(None, field, CustomFieldCreated(**_facts(field)))


def update(
    field: CustomField,
    known: Sequence[CustomField],
    given: Mapping[str, Any],
    *,
    conditions: Mapping[str, str],
    now: datetime,
) -> Change | None:
    """A field called otherwise, with other choices, required or not; None where nothing differs.

    A choice is known by its id. One that is left out can be chosen no more; records keep it. `conditions` are those of
    the rules that run, by the rules' names.

    Raises:
        CustomFieldNameTaken, ChoicesMismatch, ComputedMismatch, BadExpression, FieldInUse: as they say.
    """
    wanted = dict(given)
    others = [one for one in known if one.id != field.id]
    if {"expression", "is_required", "is_personal"} & wanted.keys():
        told = {name: getattr(field, name) for name in ("expression", "is_required", "record_kind", "is_personal")}
        if "is_personal" not in wanted and _reads_personal({**told, **wanted}, others):
            wanted["is_personal"] = True
        _check_expression(field.type, {**told, **wanted}, others)
    if wanted.get("is_retired") or wanted.get("name", field.name) != field.name:
        _check_use(field, known)
    if wanted.keys() & {"name", "is_retired", "is_personal"}:
        _check_rules(field, wanted, conditions)
    if "choices" in wanted:
        wanted["choices"] = _choices(field.type, field.choices, wanted["choices"])
    wanted = {name: value for name, value in wanted.items() if getattr(field, name) != value}
    if not wanted:
        return None
    after = revised(field, now, **wanted)
    if "name" in wanted and not after.is_retired:
        _check_name(others, after.name)
    return Change(field, after, CustomFieldUpdated(**_facts(after)))


def _check_expression(field_type: FieldType, given: Mapping[str, Any], known: Sequence[CustomField]) -> None:
    expression = given["expression"]
    if field_type is not FieldType.COMPUTED:
        if expression is not None:
            raise ComputedMismatch(f"A {field_type} is filled by people, and has no expression.")
        return
    if expression is None:
        raise ComputedMismatch("Say how it is computed.")
    if given["is_required"]:
        raise ComputedMismatch("Nobody fills what is computed, so it cannot be required.", pointer="/is_required")
    computed.check(given["record_kind"], expression, [one.definition for one in known])
    if given["is_personal"] is False and _reads_personal(given, known):
        raise ComputedMismatch("It is computed of what is personal, and is so too.", pointer="/is_personal")


def _reads_personal(given: Mapping[str, Any], known: Sequence[CustomField]) -> bool:
    expression = given["expression"]
    definitions = [one.definition for one in known]
    return expression is not None and computed.is_personal(given["record_kind"], expression, definitions)


def computing_anew(change: Change, known: Sequence[CustomField]) -> CustomField | None:
    """The computed field whose records are to be computed anew after a change: the changed one, or one it feeds."""
    before, after = change.before, change.after
    if after.expression is not None:
        looked_at = ("expression", "is_personal", "is_retired")
        is_other = before is None or any(getattr(before, name) != getattr(after, name) for name in looked_at)
        return after if is_other else None
    if before is None or (before.choices, before.is_personal) == (after.choices, after.is_personal):
        return None
    fed = (one for one in known if one.expression is not None and computed.mentions(one.expression, before.name))
    return next(fed, None)


def _check_use(field: CustomField, known: Sequence[CustomField]) -> None:
    for one in known:
        if one.id != field.id and one.expression is not None and computed.mentions(one.expression, field.name):
            raise FieldInUse(f"{one.name!r} is computed of it. Change or retire that one first.")


def _check_rules(field: CustomField, wanted: Mapping[str, Any], conditions: Mapping[str, str]) -> None:
    """A rule whose condition names a field that it does not see would never act, without a word."""
    is_seen = wanted.get("name", field.name) == field.name and not wanted.get("is_retired")
    if field.record_kind != "deal" or (is_seen and not wanted.get("is_personal")):
        return
    for rule, condition in conditions.items():
        if computed.mentions(condition, field.name):
            raise FieldInUse(f"The rule {rule!r} names it in its condition. Change or turn off that one first.")


def _check_name(known: Sequence[CustomField], name: str) -> None:
    if any(one.name.lower() == name.lower() for one in known):
        raise CustomFieldNameTaken


def _choices(
    field_type: FieldType, known: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    if (field_type in _WITH_CHOICES) != bool(given):
        raise ChoicesMismatch("Name the choices." if not given else f"A {field_type} has no choices.")
    ids = {choice["id"] for choice in known}
    if unknown := [choice["id"] for choice in given if choice.get("id") and str(choice["id"]) not in ids]:
        raise ChoicesMismatch(f"There is no choice {unknown[0]}. Leave the id of a new one out.")
    if len({choice["label"].lower() for choice in given}) < len(given):
        raise ChoicesMismatch("Two choices have the same label.")
    return JsonList({"id": str(choice.get("id") or uuid7()), "label": choice["label"]} for choice in given)


def _facts(field: CustomField) -> dict[str, Any]:
    return {
        "record_kind": field.record_kind,
        "value_type": field.type.value,
        "choice_ids": [choice["id"] for choice in field.choices],
        **{name: getattr(field, name) for name in ("is_required", "is_unique", "is_personal", "is_retired")},
    }
