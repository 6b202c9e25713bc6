"""The parameters of a question: read from text, checked, with defaults filled in.

Two steps, because some defaults need the organization: `read` knows the metric's definition only, `Question` (in
`metrics.question`) is complete.
"""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from contracts.money import MINOR_DIGITS
from metrics.errors import ParameterError
from metrics.registry import CUSTOM, Definition


class Order(StrEnum):
    """When a stage counts as entered."""

    REACHED = "reached"
    VISITED = "visited"
    STRICT = "strict"


class Regress(StrEnum):
    """What a deal keeps that moved back."""

    FURTHEST = "furthest"
    CURRENT = "current"


class Unit(StrEnum):
    """What is counted."""

    DEALS = "deals"
    AMOUNT = "amount"


#: The cohort of facts whose first entry into a stage lies in the period; any other is a clock of the entity.
ENTERED = "entered"


#: Days and instants that can be asked about.
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(2200, 1, 1)


class Cohort(BaseModel):
    """Which facts are in: those of a clock (`created`, `closed`), or `entered:<stage_id>`."""

    model_config = ConfigDict(frozen=True)

    kind: str
    stage_id: str | None = None

    def __str__(self) -> str:
        """The cohort as it is written in a parameter."""
        return self.kind if self.stage_id is None else f"{self.kind}:{self.stage_id}"


def _read_cohort(value: object) -> object:
    if not isinstance(value, str):
        return value
    kind, _, stage = value.partition(":")
    if (kind == ENTERED) != bool(stage):
        raise ValueError(f"must be a clock's name or {ENTERED}:<stage_id>")
    return Cohort(kind=kind, stage_id=stage or None)


def _read_instant(value: object) -> object:
    """A bare date stays a date: it means the end of that day in the organization's zone."""
    read = _parse_instant(value)
    if isinstance(read, date):
        _check_bounds(read)
    return read


def _check_bounds(instant: date) -> None:
    """What lies outside has no local day everywhere, and no fact."""
    day = date(instant.year, instant.month, instant.day)
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise ValueError(f"must lie between {_FIRST_DAY} and {_LAST_DAY}")


def _parse_instant(value: object) -> object:
    if isinstance(value, str) and len(value) == len("2026-01-31"):
        return date.fromisoformat(value)
    if isinstance(value, str):
        # a plus sign that was not escaped arrives as a blank
        value = datetime.fromisoformat(value.replace(" ", "+") if "T" in value else value)
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("must carry a UTC offset, for example 2026-03-31T18:00:00Z")
    return value


class CustomValue(BaseModel):
    """A custom field of the record, and the value that it is to have."""

    model_config = ConfigDict(frozen=True)

    field_id: UUID
    value: str

    def __str__(self) -> str:
        """As it is written in a parameter."""
        return f"{self.field_id}:{self.value}"


def _read_custom(value: object) -> object:
    if not isinstance(value, str):
        return value
    field_id, is_there, wanted = value.partition(":")
    if not is_there:
        raise ValueError("must be <field_id>:<value>; a choice by its id")
    return CustomValue(field_id=_field_id(field_id), value=wanted)


def _field_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError("must name a custom field by its UUID") from None


class Whose(BaseModel):
    """Whose facts count, of those that the viewer sees: one person's, those of a team's people, or everybody's."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["owner", "team", "everybody"]
    id: UUID | None = None

    def __str__(self) -> str:
        """As it is written in a parameter."""
        return self.kind if self.id is None else f"{self.kind}:{self.id}"


_EVERYBODY = Whose(kind="everybody")


def _read_whose(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value == _EVERYBODY.kind:
        return _EVERYBODY
    kind, _, whose = value.partition(":")
    try:
        return Whose(kind={"owner": "owner", "team": "team"}[kind], id=UUID(whose))
    except (KeyError, ValueError):
        raise ValueError("must be owner:<user_id>, team:<team_id> or everybody") from None


def _read_currency(value: object) -> object:
    if isinstance(value, str) and value not in MINOR_DIGITS:
        raise ValueError("must be the ISO 4217 code of a currency in use")
    return value


def _read_group_by(value: object) -> object:
    if isinstance(value, str) and value.startswith(f"{CUSTOM}:"):
        return f"{CUSTOM}:{_field_id(value.partition(':')[2])}"
    return value


#: What may be asked of any metric. It narrows what the viewer sees, and is no part of what a metric means.
COMMON = frozenset({"whose"})

Day = Annotated[date, Field(ge=_FIRST_DAY, le=_LAST_DAY)]


class Parameters(BaseModel):
    """What the caller asked for. None means: take the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    pipeline_id: UUID | None = None
    start: Day | None = Field(default=None, alias="from")
    end: Day | None = Field(default=None, alias="to")
    cohort: Annotated[Cohort, BeforeValidator(_read_cohort)] = Cohort(kind="created")
    order: Order = Order.REACHED
    regress: Regress = Regress.FURTHEST
    window_days: int | None = Field(default=None, ge=1, le=36_500)
    unit: Unit = Unit.DEALS
    group_by: Annotated[str, BeforeValidator(_read_group_by)] = "none"
    currency: Annotated[str | None, BeforeValidator(_read_currency)] = None
    custom: Annotated[CustomValue | None, BeforeValidator(_read_custom)] = None
    as_of: Annotated[datetime | date | None, BeforeValidator(_read_instant)] = None
    at: Annotated[datetime | date | None, BeforeValidator(_read_instant)] = None
    from_stage: UUID | None = None
    to_stage: UUID | None = None
    stalled_days: int = Field(default=30, ge=1, le=3_650)
    before_from: Day | None = None
    before_to: Day | None = None
    whose: Annotated[Whose | None, BeforeValidator(_read_whose)] = None
    before_whose: Annotated[Whose | None, BeforeValidator(_read_whose)] = None
    before_as_of: Annotated[datetime | date | None, BeforeValidator(_read_instant)] = None

    @property
    def custom_group(self) -> UUID | None:
        """The custom field by which the answer is split, if it is by one."""
        kind, _, field_id = self.group_by.partition(":")
        return UUID(field_id) if kind == CUSTOM and field_id else None

    @model_validator(mode="after")
    def _period_runs_forward(self) -> "Parameters":
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("from must lie before to: the period is half-open")
        if (self.before_from is None) != (self.before_to is None):
            raise ValueError("before_from and before_to go together")
        if self.before_from is not None and self.before_to is not None and self.before_from >= self.before_to:
            raise ValueError("before_from must lie before before_to: the period is half-open")
        return self


def read(definition: Definition, given: Mapping[str, str]) -> Parameters:
    """Read a question's parameters; an empty text counts as not given.

    Raises:
        ParameterError: unknown or unacceptable parameter, with the field's name.
    """
    asked = {name: value for name, value in given.items() if value != ""}
    for name in asked:
        if name not in definition.parameters and name not in COMMON:
            offered = ", ".join([*definition.parameters, *sorted(COMMON)])
            raise ParameterError(name, f"{definition.name} has no such parameter; it has {offered}")
    try:
        parameters = Parameters.model_validate(definition.defaults | asked)
    except ValidationError as error:
        raise _first(error) from error
    return _check_offered(definition, parameters)


def _check_offered(definition: Definition, parameters: Parameters) -> Parameters:
    kind = CUSTOM if parameters.custom_group else parameters.group_by
    if kind not in definition.offered or (kind == CUSTOM and not parameters.custom_group):
        forms = [f"{each}:<field_id>" if each == CUSTOM else each for each in definition.offered]
        raise ParameterError("group_by", "must be one of " + ", ".join(forms))
    if "cohort" not in definition.parameters:
        return parameters
    cohort = parameters.cohort
    if cohort.kind not in definition.cohorts:
        forms = [f"{kind}:<stage_id>" if kind == ENTERED else kind for kind in definition.cohorts]
        raise ParameterError("cohort", "must be one of " + ", ".join(forms))
    if cohort.stage_id is None or definition.entity.key_type != "uuid":
        return parameters
    try:
        stage_id = str(UUID(cohort.stage_id))
    except ValueError:
        raise ParameterError("cohort", f"{ENTERED} must name a stage by its UUID") from None
    return parameters.model_copy(update={"cohort": Cohort(kind=cohort.kind, stage_id=stage_id)})


def _first(error: ValidationError) -> ParameterError:
    problem: dict[str, Any] = dict(error.errors(include_url=False)[0])
    field = str(problem["loc"][0]) if problem["loc"] else "from"
    names = {"start": "from", "end": "to"}
    message = str(problem["msg"]).removeprefix("Value error, ")
    return ParameterError(names.get(field, field), message)
