"""Which facts a question speaks of, and to whom each is credited: the steps that all metrics of all entities share.

`subjects` are the entity's facts known at `as_of` that the viewer may count; `moments(subject_id, measure, at, days,
stage_id)` is what the metric looks at; `credited` adds the owner, dimensions and amount as they were at each moment.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

from contracts.warehouse import Mart
from metrics.compile import Statement
from metrics.dialect import DAY
from metrics.errors import ParameterError
from metrics.money import add_converted
from metrics.parameters import ENTERED
from metrics.period import day_start, pieces
from metrics.question import Question
from metrics.registry import AS_OF, AT, CALENDAR

_VALID_THEN = "{0}.valid_from <= m.at and ({0}.valid_to is null or {0}.valid_to > m.at)"

#: Dimensions that are known without who owned the fact.
_TOLD_BY_THE_MOMENT = frozenset({"none", "next_stage", "days", *CALENDAR})

#: What a fact is credited with at a moment; `counted_minor` is null in other currencies than the organization's.
CREDIT = ("group_key", "amount_minor", "currency", "counted_minor")


#: Into so many pieces of the calendar a period may be split: the weeks of 23 years.
_MOST_PIECES = 1_200

#: Where bands of days begin, by which answers are split (`group_by=days`).
DAY_BOUNDS = (0, 1, 2, 3, 7, 14, 30, 60, 90, 180, 365)


@dataclass(frozen=True)
class Looked:
    """Facts to look at: by which clock, and which values they have in some columns."""

    clock: str
    stage_id: str | None = None
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()


def asked_cohort(question: Question) -> Looked:
    """All facts of the asked cohort."""
    cohort = question.parameters.cohort
    return Looked(cohort.kind, cohort.stage_id)


def add_subjects(statement: Statement, question: Question, *, carried: Sequence[str] = ()) -> None:
    """Add `subjects`. A metric that is scoped by the credited owner leaves the viewer's scope to `credited`.

    What is `carried` are columns of the fact that are in `moments` and `credited` too, if those are told the same.
    """
    entity, custom = question.entity, question.parameters.custom
    clocks = [column for clock in entity.clocks.values() for column in (clock.at, clock.since, *clock.where) if column]
    final = [dimension.column for dimension in entity.dimensions.values() if dimension.is_final]
    wanted = [entity.owner, *([entity.stage] if entity.stage else []), *clocks, *_facts_columns(question), *entity.rows]
    wanted += final if question.parameters.group_by in entity.dimensions else []
    wanted += carried
    if entity.credit is None:
        wanted += [*entity.columns, *_amount_columns(question)]
    conditions = _of_pipeline(statement, question)
    owners = question.viewer.owner_ids
    if question.definition.scope == "owner" and owners is not None:
        conditions.append(statement.any_of(entity.owner, sorted(owners)))
    if custom is not None:
        _add_custom(statement, question, "asked_values", custom.field_id)
        value = statement.bind(custom.value, "text")
        conditions.append(f"{entity.id} in (select subject_id from asked_values where field_value = {value})")
    columns = ", ".join([f"{entity.id} as subject_id", *dict.fromkeys(wanted)])
    statement.mart("subjects", entity.mart, columns=columns, known_at=question.as_of, conditions=conditions)


def add_entries(statement: Statement, question: Question) -> None:
    """Add `entries`: every visit to a stage, as known."""
    steps = question.steps
    columns = (
        f"{question.entity.id} as subject_id, {steps.number} as entry_number, {steps.stage} as stage_id,\n"
        f"  {steps.next_stage} as next_stage_id, {steps.entered} as entered_at, {steps.left} as left_at,\n"
        f"  {steps.reason or 'cast(null as uuid)'} as lost_reason_id"
    ) + (f", {steps.status} as status" if steps.status else "")
    conditions = _of_pipeline(statement, question)
    statement.mart("entries", steps.mart, columns=columns, known_at=question.as_of, conditions=conditions)


def add_moments(
    statement: Statement, question: Question, looked: Mapping[Looked, str], *, carried: Sequence[str] = ()
) -> None:
    """Add `moments`: the facts of each kind, under its name, at the instant of its clock."""
    if any(facts.clock in {ENTERED, AT} for facts in looked):
        add_entries(statement, question)
    period = ""
    if any(facts.clock not in {AS_OF, AT} for facts in looked):
        start, end = statement.bind(question.starts_at, "timestamptz"), statement.bind(question.ends_at, "timestamptz")
        period = f"{{0}} >= {start} and {{0}} < {end}"
    more = _more("d", carried)
    parts = [_moments_of(statement, question, facts, name, period, more) for facts, name in looked.items()]
    statement.step("moments", "\nunion all ".join(parts))


def _moments_of(statement: Statement, question: Question, facts: Looked, name: str, period: str, more: str) -> str:
    entity, join, days = question.entity, "", "cast(null as double precision)"
    where = dict(facts.where)
    if facts.clock == AT:
        return _standing_at(statement, question, name, where)
    if facts.clock == AS_OF:
        at, conditions = statement.bind(question.as_of, "timestamptz"), []
    elif facts.clock == ENTERED:
        stage = statement.bind(facts.stage_id, entity.key_type)
        join = (
            "\njoin (select subject_id, min(entered_at) as at from entries\n"
            f"  where stage_id = {stage} group by subject_id) e on e.subject_id = d.subject_id"
        )
        at, conditions = "e.at", [period.format("e.at")]
    else:
        clock = entity.clocks[facts.clock]
        at, conditions = f"d.{clock.at}", [period.format(f"d.{clock.at}")]
        where = {column: tuple(values) for column, values in clock.where.items()} | where
        if clock.since and question.definition.percentiles:
            since = statement.dialect.microseconds_between(f"d.{clock.since}", at)
            days = f"cast({since} as double precision) / {DAY}"
    conditions += [_is_one_of(statement, f"d.{column}", values) for column, values in where.items()]
    stage_id = f"d.{entity.stage}" if question.definition.per_stage else f"cast(null as {entity.key_type})"
    return (
        f"select d.subject_id, {statement.bind(name, 'text')} as measure, {at} as at, {days} as days,\n"
        f"  {stage_id} as stage_id{more} from subjects d{join}"
    ) + (f"\nwhere {' and '.join(conditions)}" if conditions else "")


def _standing_at(statement: Statement, question: Question, name: str, where: Mapping[str, tuple[str, ...]]) -> str:
    """Facts in the stage where they stood at the instant spoken of; their days are those they had been there."""
    at = statement.bind(question.at, "timestamptz")
    conditions = [f"e.entered_at <= {at}", f"(e.left_at is null or e.left_at > {at})"]
    conditions += [_is_one_of(statement, f"e.{column}", values) for column, values in where.items()]
    been = statement.dialect.microseconds_between("e.entered_at", at)
    return (
        f"select d.subject_id, {statement.bind(name, 'text')} as measure, {at} as at,\n"
        f"  cast({been} as double precision) / {DAY} as days, e.stage_id\n"
        f"from entries e join subjects d on d.subject_id = e.subject_id\nwhere {' and '.join(conditions)}"
    )


def _is_one_of(statement: Statement, expression: str, values: Iterable[str]) -> str:
    listed = ", ".join(statement.bind(value, "text") for value in values)
    return f"{expression} in ({listed})"


def _more(alias: str, carried: Sequence[str]) -> str:
    return "".join(f", {alias}.{column}" for column in carried)


def add_credited(statement: Statement, question: Question, *, carried: Sequence[str] = ()) -> None:
    """Add `credited`: `moments` with what is in CREDIT. Amounts are null where nobody asks for them."""
    key, joins = _group(statement, question)
    owners = question.viewer.owner_ids if question.definition.scope == "credited_owner" else None
    amounts = "cast(null as bigint) as amount_minor, cast(null as text) as currency, cast(null as bigint)"
    amount = question.entity.amount
    if question.is_valued and amount is not None:
        currency = statement.bind(question.currency, "text")
        amounts = (
            f"v.{amount.column} as amount_minor, v.{amount.currency} as currency,\n"
            f"  case when v.{amount.currency} = {currency} then v.{amount.column} end"
        )
    version = ""
    is_told = question.parameters.group_by in _TOLD_BY_THE_MOMENT or question.parameters.custom_group is not None
    if question.is_valued or owners is not None or not is_told:
        version = _add_versions(statement, question)
    where = "" if owners is None else "\nwhere " + statement.any_of(f"v.{question.entity.owner}", sorted(owners))
    is_converted = question.is_converted and amount is not None
    statement.step(
        "credited_own" if is_converted else "credited",
        f"select m.subject_id, m.measure, m.at, m.days, m.stage_id, {key} as group_key,\n"
        f"  {amounts} as counted_minor{_more('m', carried)}\n"
        f"from moments m{version}{joins}{where}",
    )
    if is_converted:
        add_converted(statement, question, "credited_own", carried=carried)


def _add_versions(statement: Statement, question: Question) -> str:
    """The join that gives each moment `v`: what was true of the fact then."""
    entity = question.entity
    if entity.credit is None:
        return "\njoin subjects v on v.subject_id = m.subject_id"
    wanted = [entity.owner, *entity.columns, *_amount_columns(question), "valid_from", "valid_to"]
    columns = ", ".join([f"{entity.id} as subject_id", *dict.fromkeys(wanted)])
    statement.mart("versions", entity.credit.mart, columns=columns, known_at=question.as_of)
    return f"\nleft join versions v on v.subject_id = m.subject_id and {_VALID_THEN.format('v')}"


def _amount_columns(question: Question) -> list[str]:
    amount = question.entity.amount
    return [amount.column, amount.currency] if amount else []


def _facts_columns(question: Question) -> list[str]:
    """Columns by which the metric, or one that it derives from, tells facts apart."""
    definitions = [question.definition, *question.definition.bases.values()]
    return [column for each in definitions for facts in each.facts.values() for column in facts.where]


def _of_pipeline(statement: Statement, question: Question) -> list[str]:
    pipeline_id = question.parameters.pipeline_id
    return [] if pipeline_id is None else [f"pipeline_id = {statement.bind(pipeline_id, 'uuid')}"]


def _group(statement: Statement, question: Question) -> tuple[str, str]:
    """(expression of the group's key, joins that it needs)."""
    if (field_id := question.parameters.custom_group) is not None:
        _add_custom(statement, question, "custom_values", field_id)
        return "c.field_value", "\nleft join custom_values c on c.subject_id = m.subject_id"
    match question.parameters.group_by:
        case "none":
            return "cast(null as text)", ""
        case "next_stage":
            return "cast(m.next_stage_id as text)", ""
        case "days":
            return _band("m.days"), ""
        case piece if piece in CALENDAR:
            return _piece(statement, question), ""
        case "team":
            return "cast(t.team_id as text)", _membership(statement, question)
        case "top_team":
            membership = _membership(statement, question)
            roots = sorted(question.teams.roots.items())
            statement.table("roots", {"team_id": "uuid", "root_id": "uuid"}, roots)
            return "cast(r.root_id as text)", membership + "\nleft join roots r on r.team_id = t.team_id"
        case dimension if question.entity.dimensions[dimension].is_final:
            column = question.entity.dimensions[dimension].column
            return f"cast(f.{column} as text)", "\njoin subjects f on f.subject_id = m.subject_id"
        case dimension:
            return f"cast(v.{question.entity.dimensions[dimension].column} as text)", ""


def _add_custom(statement: Statement, question: Question, name: str, field_id: UUID) -> None:
    """Add step `name`: the values that a custom field has, as known."""
    statement.mart(
        name,
        Mart.FCT_CUSTOM_VALUES,
        columns="record_id as subject_id, field_value",
        known_at=question.as_of,
        conditions=[f"field_id = {statement.bind(field_id, 'uuid')}"],
    )


def _membership(statement: Statement, question: Question) -> str:
    """The join that gives each moment `t`: the team that its owner was in then."""
    columns = "user_id, team_id, valid_from, valid_to"
    statement.mart("memberships", Mart.DIM_TEAM_MEMBERS, columns=columns, known_at=question.as_of)
    valid = _VALID_THEN.format("t")
    return f"\nleft join memberships t on t.user_id = v.{question.entity.owner} and {valid}"


def _piece(statement: Statement, question: Question) -> str:
    """The piece of the calendar in which the moment lies; null outside of the period."""
    found = pieces(question.parameters.group_by, question.first_day, question.end_day, question.calendar)
    if len(found) > _MOST_PIECES:
        raise ParameterError("group_by", f"the period has more than {_MOST_PIECES:,} of these: ask for fewer years")
    days = [found[0][1], *(following for _, _, following in found)]
    bounds = [statement.bind(day_start(day, question.zone), "timestamptz") for day in days]
    labels = [statement.bind(label, "text") for label, _, _ in found]
    return f"case when m.at >= {bounds[0]} and m.at < {bounds[-1]} then {_halved(labels, bounds[1:-1])} end"


def _band(days: str) -> str:
    """Between which of the bounds a number of days lies."""
    parts = " ".join(f"when {days} < {end} then '{start}-{end}'" for start, end in pairwise(DAY_BOUNDS))
    return f"case {parts} when {days} is not null then '{DAY_BOUNDS[-1]}-' end"


def band_rank(group: str | None) -> int:
    """In which order bands of days stand."""
    return int((group or "").partition("-")[0] or -1)


def _halved(labels: Sequence[str], bounds: Sequence[str]) -> str:
    """Which of the labels, between whose spans lie the bounds, is that of the moment: found by halving."""
    if not bounds:
        return labels[0]
    middle = len(labels) // 2
    before, after = _halved(labels[:middle], bounds[: middle - 1]), _halved(labels[middle:], bounds[middle:])
    return f"case when m.at < {bounds[middle - 1]} then {before} else {after} end"
