"""A complete question: the metric, its parameters with all defaults filled, the organization as known at `as_of`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from contracts.warehouse import Mart
from metrics.compile import Statement
from metrics.entities import Entity, Steps
from metrics.errors import ParameterError, UnknownPipelineError, WarehouseNotReadyError
from metrics.parameters import ENTERED, Parameters, Unit, Whose
from metrics.period import Calendar, add_months, day_start, local_day
from metrics.registry import AS_OF, AT, COHORT, Definition
from metrics.session import Session
from metrics.stages import Stage as Stage
from metrics.stages import stages_of
from metrics.teams import NO_TEAMS, Teams, read_teams
from metrics.viewer import Viewer

#: Length of the period where none is asked for.
DEFAULT_DAYS = 90


@dataclass(frozen=True)
class Question:
    """Everything that decides an answer. Where it is not `is_valued`, nobody asks what the facts are worth."""

    definition: Definition
    parameters: Parameters
    viewer: Viewer
    as_of: datetime
    through: datetime | None
    at: datetime
    zone: ZoneInfo
    calendar: Calendar
    currency: str
    first_day: date
    end_day: date
    stages: tuple[Stage, ...]
    labels: dict[str, str]
    notes: tuple[str, ...] = ()
    teams: Teams = NO_TEAMS
    is_valued: bool = True
    is_converted: bool = False

    @property
    def entity(self) -> Entity:
        """What the metric speaks of."""
        return self.definition.entity

    @property
    def steps(self) -> Steps:
        """The entity's entries into stages.

        Raises:
            LookupError: it has none, so that the definition is wrong.
        """
        if self.entity.steps is None:
            raise LookupError(f"{self.entity.name} has no steps")
        return self.entity.steps

    @property
    def starts_at(self) -> datetime:
        """First instant of the period."""
        return day_start(self.first_day, self.zone)

    @property
    def ends_at(self) -> datetime:
        """First instant after the period."""
        return day_start(self.end_day, self.zone)

    @property
    def begins_after(self) -> datetime:
        """Last instant before the period."""
        return self.starts_at - timedelta(microseconds=1)

    def before(self) -> "Question":
        """The same of the period before: the one that was asked, or the one that ends where this begins, as long."""
        first, end = self.before_period
        return replace(self, first_day=first, end_day=end)

    @property
    def is_of_others_before(self) -> bool:
        """Whether what it is compared with differs by more than its period."""
        return self.parameters.before_whose is not None or self.parameters.before_as_of is not None

    @property
    def before_period(self) -> tuple[date, date]:
        """First day of the period before, and the day after its last one. Whole months have whole months before."""
        asked = self.parameters.before_from, self.parameters.before_to
        if asked[0] is not None and asked[1] is not None:
            return asked[0], asked[1]
        if self.is_of_others_before:
            return self.first_day, self.end_day
        if self.first_day.day == self.end_day.day == 1:
            months = (self.end_day.year - self.first_day.year) * 12 + self.end_day.month - self.first_day.month
            return add_months(self.first_day, -months), self.first_day
        return self.first_day - (self.end_day - self.first_day), self.first_day

    def described(self) -> dict[str, Any]:
        """The parameters as an answer prints them, all defaults filled."""
        p = self.parameters
        values: dict[str, Any] = {
            "pipeline_id": str(p.pipeline_id) if p.pipeline_id else None,
            "from": self.first_day.isoformat(),
            "to": self.end_day.isoformat(),
            "cohort": str(p.cohort),
            "order": p.order.value,
            "regress": p.regress.value,
            "window_days": p.window_days,
            "unit": p.unit.value,
            "group_by": p.group_by,
            "currency": self.currency,
            "custom": str(p.custom) if p.custom else None,
            "from_stage": str(p.from_stage) if p.from_stage else None,
            "to_stage": str(p.to_stage) if p.to_stage else None,
            "as_of": instant_text(self.as_of),
            "at": instant_text(self.at),
            "stalled_days": p.stalled_days,
            "before_from": self.before_period[0].isoformat(),
            "before_to": self.before_period[1].isoformat(),
            "before_whose": str(p.before_whose) if p.before_whose else None,
            "before_as_of": str(p.before_as_of) if p.before_as_of else None,
        }
        asked = {"whose": str(p.whose)} if p.whose else {}
        return {name: values[name] for name in self.definition.parameters} | asked


def instant_text(instant: datetime) -> str:
    """RFC 3339 in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ask(session: Session, definition: Definition, parameters: Parameters, *, viewer: Viewer, now: datetime) -> Question:
    """Fill the defaults from the organization as known at `as_of`.

    Raises:
        WarehouseNotReadyError: the organization is not in this version.
        UnknownPipelineError: the pipeline is not known at `as_of`.
        ParameterError: unknown stage, or a period that runs backward.
    """
    organizations, newest = _organizations(session, viewer)
    through = _through(session, definition, parameters, newest)
    as_of, day_after_all = _instant(parameters.as_of, through or now, organizations)
    known, is_known = _organization_at(organizations, as_of)
    zone = ZoneInfo(known.time_zone)
    at = _instant(parameters.at, as_of, organizations)[0]
    if at > as_of:
        raise ParameterError("at", "lies after as_of: nothing was known of it then")
    if parameters.as_of is None:
        day_after_all = local_day(now, zone) + timedelta(days=1)
    first_day, end_day = _period(parameters, day_after_all or local_day(as_of, zone) + timedelta(days=1))
    stages, names = stages_of(definition.entity, session, viewer, parameters.pipeline_id, as_of=as_of)
    _check_pipeline(definition, parameters, stages, names)
    is_valued = parameters.unit is Unit.AMOUNT or definition.has_money
    teams = read_teams(session, viewer, as_of) if _needs_teams(definition, parameters) else NO_TEAMS
    is_converted = is_valued and "currency" in definition.parameters and _has_rates(session, viewer, as_of)
    return Question(
        definition=definition,
        parameters=parameters,
        viewer=_narrowed(viewer, parameters.whose, teams),
        as_of=as_of,
        at=at,
        through=through,
        zone=zone,
        calendar=Calendar(week_start=known.week_start, fiscal_month=known.fiscal_month),
        currency=parameters.currency or known.currency,
        first_day=first_day,
        end_day=end_day,
        stages=stages,
        labels=names,
        notes=(
            *_notes(as_of, through, is_known=is_known),
            *_changes(definition, local_day(as_of, zone), first_day, end_day),
            *_conversions(definition, local_day(at, zone), is_converted=is_converted),
        ),
        teams=teams,
        is_valued=is_valued,
        is_converted=is_converted,
    )


def ask_before(session: Session, question: Question, *, viewer: Viewer, now: datetime) -> Question:
    """What a question is compared with. Raises as `ask`."""
    p = question.parameters
    if not question.is_of_others_before:
        return question.before()
    first, end = question.before_period
    others = {"as_of": p.before_as_of or p.as_of, "whose": p.before_whose or p.whose, "start": first, "end": end}
    return ask(session, question.definition, p.model_copy(update=others), viewer=viewer, now=now)


def _has_rates(session: Session, viewer: Viewer, as_of: datetime) -> bool:
    """Whether any exchange rate was known; most organizations have none, and need nothing converted."""
    statement = Statement(session.dialect, viewer.organization_id)
    statement.mart("rates", Mart.FCT_EXCHANGE_RATES, columns="currency", known_at=as_of)
    return bool(session.fetch(statement.compile("select currency from rates limit 1")))


#: The day at whose rate an amount is converted, by the clock of the facts.
_RATE_DAYS = {
    "closed": "its closing",
    "won": "its winning",
    "created": "its creation",
    "cancelled": "its end",
    "failed": "its first failure",
    COHORT: "entering the cohort",
}


#: Of kinds that declare no clock, which moment it is.
_RATE_DAYS_OF_KINDS = {"exits": "its leaving", "waterfall": "each of its moments"}


def _conversions(definition: Definition, at: date, *, is_converted: bool) -> Iterator[str]:
    """Says at which day's rate amounts are converted."""
    if not is_converted:
        return
    clocks = {facts.clock for each in (definition, *definition.bases.values()) for facts in each.facts.values()}
    days = [_RATE_DAYS[clock] for clock in sorted(clocks) if clock in _RATE_DAYS]
    days += [str(at)] if clocks & {AS_OF, AT} else []
    usual = _RATE_DAYS[COHORT] if definition.cohorts else "its entry"
    days = days or [_RATE_DAYS_OF_KINDS.get(definition.kind, usual)]
    yield f"An amount in another currency is converted at the rate of the day of {' or of '.join(days)}."


#: What kinds of metrics read beside the marts of their entity.
_READ_BY_KINDS: Mapping[str, Sequence[str]] = {
    "attainment": (Mart.FCT_GOALS,),
    "calibration": (Mart.FCT_DEALS, Mart.FCT_STAGE_ENTRIES),
    "outcomes": (Mart.FCT_DEALS, Mart.FCT_STAGE_ENTRIES),
    "conversions": (Mart.FCT_LEADS,),
    "score_forecast": (Mart.FCT_SCORES,),
    "scored_accuracy": (Mart.FCT_SCORES,),
    "seats": (Mart.DIM_USERS,),
}


def marts_of(definition: Definition) -> set[str]:
    """Every mart that an answer of the metric may read."""
    entity, parameters = definition.entity, set(definition.parameters)
    read = {source.mart for source in (entity.credit, entity.steps) if source is not None}
    read |= {Mart.FCT_EXCHANGE_RATES.value} if "currency" in parameters else set()
    read |= {Mart.FCT_CUSTOM_VALUES.value} if "custom" in parameters else set()
    read |= {Mart.DIM_TEAM_MEMBERS.value} if {"team", "top_team"} & set(definition.dimensions) else set()
    return read | {entity.mart, Mart.DIM_ORGANIZATIONS.value, *map(str, _READ_BY_KINDS.get(definition.kind, ()))}


def _through(
    session: Session, definition: Definition, parameters: Parameters, newest: datetime | None
) -> datetime | None:
    """How far an answer reaches: to the organization's newest event, or to where a part that it reads ends before."""
    entity = definition.entity
    read = [entity.mart, Mart.DIM_TEAM_MEMBERS]
    read += [Mart.FCT_EXCHANGE_RATES] if "currency" in definition.parameters else []
    read += _READ_BY_KINDS.get(definition.kind, ())
    read += [Mart.FCT_CUSTOM_VALUES] if parameters.custom or parameters.custom_group else []
    read += [source.mart for source in (entity.credit, entity.steps) if source is not None]
    ends = [session.part_of(mart).through for name in read if (mart := Mart.named(name)) is not None]
    return newest and min(newest, *(_utc(end) or newest for end in ends))


def _needs_teams(definition: Definition, parameters: Parameters) -> bool:
    """An owner may be shown with their team, or a team's people be asked about."""
    is_of_team = parameters.whose is not None and parameters.whose.kind == "team"
    return is_of_team or parameters.group_by == "top_team" or definition.keys == "owner_and_team"


def _narrowed(viewer: Viewer, whose: Whose | None, teams: Teams) -> Viewer:
    """The viewer of those facts alone that are asked about; nobody sees more by asking."""
    if whose is None or whose.id is None:
        return viewer
    owners = teams.people_of(whose.id) if whose.kind == "team" else frozenset({whose.id})
    seen = viewer.owner_ids
    return replace(viewer, owner_ids=owners if seen is None else owners & seen)


def _notes(as_of: datetime, through: datetime | None, *, is_known: bool) -> tuple[str, ...]:
    notes = []
    if through is None or as_of > through:
        notes.append("as_of lies after the newest fact in the warehouse: this answer may still change.")
    if not is_known:
        notes.append("The organization was not known at as_of; its first known time zone and currency are used.")
    return tuple(notes)


def _changes(definition: Definition, as_of: date, first_day: date, end_day: date) -> Iterator[str]:
    """Says where a question reaches behind a change of the metric's meaning, of those that led to this version."""
    for change in definition.changelog[1:]:
        if change.on is None:
            continue
        since = f"version {change.version} of {definition.name} counts since {change.on}: {change.change}"
        if as_of < change.on:
            yield f"as_of lies before a change of the definition; {since}"
        elif "from" in definition.parameters and first_day < change.on < end_day:
            yield f"The period spans a change of the definition, and is counted by the later one; {since}"


def version_of(session: Session, definition: Definition) -> str:
    """The version of the warehouse in which the facts of the metric's entity changed last."""
    mart = Mart.named(definition.entity.mart)
    return (session.part_of(mart).version if mart is not None else session.version).version


def through_of(session: Session, viewer: Viewer) -> datetime | None:
    """Newest `recorded_at` of the organization in this version; None where it has no fact yet."""
    statement = Statement(session.dialect, viewer.organization_id)
    _add_freshness(statement)
    return _utc(session.fetch(statement.compile("select through from newest"))[0][0])


def _add_freshness(statement: Statement) -> None:
    """Add `newest`: one row, with `through`."""
    statement.mart("freshness", Mart.WAREHOUSE_FRESHNESS, columns="through")
    statement.step("newest", "select max(through) as through from freshness")


def _utc(instant: datetime | None) -> datetime | None:
    return instant.astimezone(UTC) if instant else None


def _organizations(session: Session, viewer: Viewer) -> tuple[list[tuple[Any, ...]], datetime | None]:
    """All that was ever known of the organization, and the newest `recorded_at` of its facts."""
    columns = "time_zone, currency, week_start, fiscal_year_start_month, valid_from, valid_to, known_from, known_to"
    statement = Statement(session.dialect, viewer.organization_id)
    statement.mart("organizations", Mart.DIM_ORGANIZATIONS, columns=columns)
    _add_freshness(statement)
    rows = session.fetch(
        statement.compile(f"select {columns}, through from organizations, newest order by known_from, valid_from")
    )
    if not rows:
        raise WarehouseNotReadyError("The warehouse does not hold this organization yet.")
    return [row[:-1] for row in rows], _utc(rows[0][-1])


class _Organization(NamedTuple):
    time_zone: str
    currency: str
    week_start: int
    fiscal_month: int


def _organization_at(rows: list[tuple[Any, ...]], instant: datetime) -> tuple[_Organization, bool]:
    """What was true of the organization at an instant, and whether it was known; before any was, the first known."""
    for *state, valid_from, valid_to, known_from, known_to in reversed(rows):
        is_valid = valid_from <= instant and (valid_to is None or valid_to > instant)
        if is_valid and known_from <= instant and (known_to is None or known_to > instant):
            return _Organization(*state), True
    return _Organization(*rows[0][:4]), False


def _instant(
    asked: datetime | date | None, newest: datetime, organizations: list[tuple[Any, ...]]
) -> tuple[datetime, date | None]:
    """The instant of `as_of`; for a bare date the last microsecond of that day, and the day after it."""
    if asked is None:
        return newest, None
    if isinstance(asked, datetime):
        return asked.astimezone(UTC), None
    following = asked + timedelta(days=1)
    roughly = datetime(following.year, following.month, following.day, tzinfo=UTC)
    zone = ZoneInfo(_organization_at(organizations, roughly)[0].time_zone)
    return day_start(following, zone) - timedelta(microseconds=1), following


def _period(parameters: Parameters, day_after_all: date) -> tuple[date, date]:
    end = parameters.end or day_after_all
    if parameters.end is None and parameters.start is not None and parameters.start >= end:
        end = parameters.start + timedelta(days=1)
    start = parameters.start or end - timedelta(days=DEFAULT_DAYS)
    return start, end


def _check_pipeline(
    definition: Definition, parameters: Parameters, stages: tuple[Stage, ...], names: dict[str, str]
) -> None:
    if parameters.pipeline_id is None:
        if "pipeline_id" in definition.required:
            raise ParameterError("pipeline_id", "is required: this metric speaks of one pipeline")
    elif str(parameters.pipeline_id) not in names:
        raise UnknownPipelineError
    stage_id = parameters.cohort.stage_id
    if parameters.cohort.kind == ENTERED and all(str(stage.stage_id) != stage_id for stage in stages):
        raise ParameterError("cohort", "there is no such stage in the pipeline, as known at as_of")
