"""Which deals a question speaks of, and to whom each is credited: the steps that all metrics share.

`deals` are the deals known at `as_of` that the viewer may count; `moments(deal_id, measure, at, days)` is what the
metric looks at; `credited` adds the owner, team, source and amount as they were at each moment.
"""

from contracts.stages import Outcome
from contracts.warehouse import Mart
from metrics.compile import Statement
from metrics.parameters import CohortKind, GroupBy
from metrics.period import day_start, months
from metrics.question import Question

_DEALS = "deal_id, pipeline_id, created_at, owner_id, stage_id, status, closed_at"
_ENTRIES = "deal_id, entry_number, stage_id, next_stage_id, entered_at, left_at, lost_reason_id"
_VERSIONS = "deal_id, owner_id, source_id, amount_minor, currency, valid_from, valid_to"
_VALID_THEN = "{0}.valid_from <= m.at and ({0}.valid_to is null or {0}.valid_to > m.at)"

#: Groups that are known without the deal's owner, team or source.
_TOLD_BY_THE_MOMENT = frozenset({GroupBy.NONE, GroupBy.MONTH})

#: What a deal is credited with at a moment; `counted_minor` is null in other currencies than the organization's.
CREDIT = ("group_key", "amount_minor", "currency", "counted_minor")

#: SQL list of the statuses that a closed deal has.
CLOSED = ", ".join(f"'{outcome.value}'" for outcome in Outcome)


def add_deals(statement: Statement, question: Question, *, only_viewers: bool = True) -> None:
    """Add `deals`. `only_viewers=False` leaves the viewer's scope to a later filter on the credited owner."""
    conditions = _of_pipeline(statement, question)
    owners = question.viewer.owner_ids
    if only_viewers and owners is not None:
        conditions.append(statement.any_of("owner_id", sorted(owners)))
    statement.mart("deals", Mart.FCT_DEALS, columns=_DEALS, known_at=question.as_of, conditions=conditions)


def add_entries(statement: Statement, question: Question) -> None:
    """Add `entries`: every visit to a stage, as known."""
    conditions = _of_pipeline(statement, question)
    statement.mart("entries", Mart.FCT_STAGE_ENTRIES, columns=_ENTRIES, known_at=question.as_of, conditions=conditions)


def add_cohort(statement: Statement, question: Question) -> None:
    """Add `moments` with one row per deal of the cohort: measure `cohort`, at the instant it entered."""
    start, end = period(statement, question)
    cohort = question.parameters.cohort
    if cohort.kind is CohortKind.ENTERED:
        stage = statement.bind(cohort.stage_id, "uuid")
        statement.step(
            "moments",
            "select d.deal_id, 'cohort' as measure, e.at, cast(null as double precision) as days from deals d\n"
            "join (select deal_id, min(entered_at) as at from entries\n"
            f"  where stage_id = {stage} group by deal_id) e on e.deal_id = d.deal_id\n"
            f"where e.at >= {start} and e.at < {end}",
        )
        return
    at = "created_at" if cohort.kind is CohortKind.CREATED else "closed_at"
    status = "" if cohort.kind is CohortKind.CREATED else f" and status in ({CLOSED})"
    statement.step(
        "moments",
        f"select deal_id, 'cohort' as measure, {at} as at, cast(null as double precision) as days from deals\n"
        f"where {at} >= {start} and {at} < {end}{status}",
    )


def period(statement: Statement, question: Question) -> tuple[str, str]:
    """The bound instants of the half-open period."""
    return statement.bind(question.starts_at, "timestamptz"), statement.bind(question.ends_at, "timestamptz")


def add_credited(statement: Statement, question: Question, *, only_viewers: bool = False) -> None:
    """Add `credited`: `moments` with what is in CREDIT. Amounts are null where nobody asks for them."""
    key, joins = _group(statement, question)
    owners = question.viewer.owner_ids if only_viewers else None
    amounts = "cast(null as bigint) as amount_minor, cast(null as text) as currency, cast(null as bigint)"
    if question.is_valued:
        currency = statement.bind(question.currency, "text")
        amounts = f"v.amount_minor, v.currency, case when v.currency = {currency} then v.amount_minor end"
    version = ""
    if question.is_valued or owners is not None or question.parameters.group_by not in _TOLD_BY_THE_MOMENT:
        statement.mart("versions", Mart.FCT_DEAL_VERSIONS, columns=_VERSIONS, known_at=question.as_of)
        version = f"\nleft join versions v on v.deal_id = m.deal_id and {_VALID_THEN.format('v')}"
    where = "" if owners is None else "\nwhere " + statement.any_of("v.owner_id", sorted(owners))
    statement.step(
        "credited",
        f"select m.deal_id, m.measure, m.at, m.days, {key} as group_key,\n"
        f"  {amounts} as counted_minor\n"
        f"from moments m{version}{joins}{where}",
    )


def _of_pipeline(statement: Statement, question: Question) -> list[str]:
    pipeline_id = question.parameters.pipeline_id
    return [] if pipeline_id is None else [f"pipeline_id = {statement.bind(pipeline_id, 'uuid')}"]


def _group(statement: Statement, question: Question) -> tuple[str, str]:
    """(expression of the group's key, joins that it needs)."""
    match question.parameters.group_by:
        case GroupBy.OWNER:
            return "cast(v.owner_id as text)", ""
        case GroupBy.SOURCE:
            return "cast(v.source_id as text)", ""
        case GroupBy.MONTH:
            _add_months(statement, question)
            return "month.label", "\nleft join months month on m.at >= month.starts_at and m.at < month.ends_at"
        case GroupBy.TEAM:
            _add_memberships(statement, question)
            return "cast(t.team_id as text)", _MEMBERSHIP
        case GroupBy.TOP_TEAM:
            _add_memberships(statement, question)
            roots = sorted(question.teams.roots.items())
            statement.table("roots", {"team_id": "uuid", "root_id": "uuid"}, roots)
            return "cast(r.root_id as text)", _MEMBERSHIP + "\nleft join roots r on r.team_id = t.team_id"
        case _:
            return "cast(null as text)", ""


_MEMBERSHIP = f"\nleft join memberships t on t.user_id = v.owner_id and {_VALID_THEN.format('t')}"


def _add_memberships(statement: Statement, question: Question) -> None:
    columns = "user_id, team_id, valid_from, valid_to"
    statement.mart("memberships", Mart.DIM_TEAM_MEMBERS, columns=columns, known_at=question.as_of)


def _add_months(statement: Statement, question: Question) -> None:
    rows = [
        (label, day_start(first, question.zone), day_start(following, question.zone))
        for label, first, following in months(question.first_day, question.end_day)
    ]
    statement.table("months", {"label": "text", "starts_at": "timestamptz", "ends_at": "timestamptz"}, rows)
