"""The funnel of an entity with steps: which stages each fact of the cohort counts at, under the declared policies.

`order` and `regress` decide `entered` alone. Visits are facts whatever the policy: time in a stage, still here, lost
from here, moved back. With `window_days`, a fact is read as it stood that long after it entered the cohort: nothing
that came later is a step, and where it stood then it stands. (Version 1 left out later entries alone.)
"""

from typing import Any

from contracts.stages import StageKind
from metrics.cells import Cells, ratio
from metrics.compile import Statement
from metrics.dialect import DAY
from metrics.moments import CREDIT, add_credited, add_entries, add_moments, add_subjects, asked_cohort
from metrics.parameters import ENTERED, Order, Regress, Unit
from metrics.question import Question, Stage

_OPEN, _WON, _LOST = (f"'{kind.value}'" for kind in (StageKind.OPEN, StageKind.WON, StageKind.LOST))

#: A deal's credit travels with all that is derived from it: joined to every mark at the end it costs twice as much.
_CREDIT = ", ".join(CREDIT)


def _credit_of(alias: str) -> str:
    return ", ".join(f"{alias}.{column}" for column in CREDIT)


def _credit_of_group(alias: str) -> str:
    """For a group by deal: all its rows have the same credit."""
    return ", ".join(f"max({alias}.{column}) as {column}" for column in CREDIT)


def build(statement: Statement, question: Question) -> None:
    """Add the funnel's `facts`: measures cohort, visited, entered, still_here, lost, won, moved_back.

    Of those that enter the cohort each stands in one place: still here, lost from a stage, or won.
    """
    _build(statement, question, is_read_then=True)


def build_of_entries(statement: Statement, question: Question) -> None:
    """As version 1 did: what left its stage after the window stands nowhere, nor does what was only ever lost."""
    _build(statement, question, is_read_then=False)


def _build(statement: Statement, question: Question, *, is_read_then: bool) -> None:
    cohort = asked_cohort(question)
    add_subjects(statement, question)
    if cohort.clock != ENTERED:
        add_entries(statement, question)
    add_moments(statement, question, {cohort: "cohort"})
    add_credited(statement, question)
    statement.table(
        "stages",
        {"stage_id": question.entity.key_type, "rank": "bigint", "kind": "text"},
        [(stage.stage_id, stage.rank, stage.kind.value) for stage in question.stages],
    )
    _add_steps(statement, question, is_read_then=is_read_then)
    _add_standing(statement, question)
    _add_counted(statement, question)
    _add_marks(statement, is_read_then=is_read_then)
    statement.step(
        "facts",
        f"select k.subject_id, {_credit_of('k')}, s.stage_id, k.measure, k.lost_reason_id, k.days\n"
        "from marks k left join stages s on s.rank = k.rank",
    )


def _add_steps(statement: Statement, question: Question, *, is_read_then: bool) -> None:
    """`steps`: the visits that count as steps; `visits`: one row per deal and stage, two visits are one."""
    has_entered_in_time = _in_time(statement, question, "e.entered_at")
    has_moved_in_time = _in_time(statement, question, "e.left_at")
    left_at = f"case when {has_moved_in_time} then e.left_at end" if is_read_then else "e.left_at"
    statement.step(
        "steps",
        f"select m.subject_id, {_credit_of('m')}, e.entry_number, s.rank, s.kind, {left_at} as left_at,\n"
        f"  e.lost_reason_id, {statement.dialect.microseconds_between('e.entered_at', left_at)} as stayed,\n"
        f"  case when s.kind in ({_OPEN}, {_WON}) and n.kind = {_OPEN} and n.rank < s.rank and {has_moved_in_time}\n"
        "    then 1 else 0 end as is_moved_back\n"
        "from credited m\n"
        "join entries e on e.subject_id = m.subject_id\n"
        "join stages s on s.stage_id = e.stage_id\n"
        f"left join stages n on n.stage_id = e.next_stage_id\nwhere {has_entered_in_time}",
    )
    statement.step(
        "visits",
        f"select subject_id, {_credit_of_group('steps')}, rank, max(kind) as kind,\n"
        "  max(is_moved_back) as is_moved_back,\n"
        f"  case when count(*) = count(left_at) then cast(sum(stayed) as double precision) / {DAY} end as days\n"
        "from steps group by subject_id, rank",
    )


def _in_time(statement: Statement, question: Question, instant: str) -> str:
    days = question.parameters.window_days
    if days is None:
        return "true"
    return f"{statement.dialect.microseconds_between('m.at', instant)} <= {statement.bind(days * DAY, 'bigint')}"


def _add_standing(statement: Statement, question: Question) -> None:
    """`standing`: furthest stage of each deal, the one last entered before any loss, and the last one of all.

    The last stage is read from the greatest entry number in one pass: it is carried in the number's low digits.
    """
    base = statement.bind(len(question.stages) + 1, "bigint")
    last = f"entry_number * {base} + rank"
    statement.step(
        "standing",
        f"select subject_id, {_credit_of_group('steps')}, max(case when kind <> {_LOST} then rank end) as furthest,\n"
        f"  mod(max(case when kind <> {_LOST} then {last} end), {base}) as present,\n"
        f"  mod(max({last}), {base}) as last\n"
        "from steps group by subject_id",
    )


def _add_counted(statement: Statement, question: Question) -> None:
    """`counted(subject_id, credit, rank)`: the stages at which a deal counts as entered."""
    is_current = question.parameters.regress is Regress.CURRENT
    if question.parameters.order is Order.REACHED:
        reach = "present" if is_current else "furthest"
        passed = (
            f"select t.subject_id, {_credit_of('t')}, s.rank, s.kind from standing t\n"
            f"join stages s on s.rank <= t.{reach} and s.kind = {_OPEN}\n"
            f"union all select subject_id, {_CREDIT}, rank, kind from visits where kind <> {_OPEN}"
        )
    elif question.parameters.order is Order.VISITED:
        passed = f"select subject_id, {_CREDIT}, rank, kind from visits"
    else:
        passed = _strict(statement, question)
    if is_current:
        passed = (
            f"select p.subject_id, {_credit_of('p')}, p.rank, p.kind\n"
            f"from (\n{passed}\n) p join standing t on t.subject_id = p.subject_id\n"
            f"where case p.kind when {_OPEN} then p.rank <= t.present when {_WON} then p.rank = t.present\n"
            "  else p.rank = t.last end"
        )
    statement.step("counted", f"select subject_id, {_CREDIT}, rank from (\n{passed}\n) passed")


def _strict(statement: Statement, question: Question) -> str:
    """Visits in pipeline order: each open stage after the one before it. A retired stage is no link of the chain."""
    parts, previous = [f"select subject_id, {_CREDIT}, rank, kind from visits where kind = {_LOST}"], None
    for stage in question.stages:
        if stage.kind is StageKind.LOST:
            continue
        _add_link(statement, stage, previous)
        rank, kind = stage.rank, f"'{stage.kind.value}'"
        parts.append(f"select subject_id, {_CREDIT}, {rank} as rank, {kind} as kind from chain_{rank}")
        if stage.kind is StageKind.OPEN and not stage.is_retired:
            previous = stage
    return "\nunion all ".join(parts)


def _add_link(statement: Statement, stage: Stage, previous: Stage | None) -> None:
    rank = statement.bind(stage.rank, "bigint")
    after = (
        ""
        if previous is None
        else f"join chain_{previous.rank} c on c.subject_id = e.subject_id and e.entry_number > c.entry_number\n"
    )
    statement.step(
        f"chain_{stage.rank}",
        f"select e.subject_id, {_credit_of_group('e')}, min(e.entry_number) as entry_number from steps e\n"
        f"{after}where e.rank = {rank} group by e.subject_id",
    )


def _add_marks(statement: Statement, *, is_read_then: bool) -> None:
    """`marks(subject_id, credit, rank, measure, lost_reason_id, days)`: everything the funnel says about a deal."""
    nothing = "cast(null as uuid) as lost_reason_id, cast(null as double precision) as days"
    mark = f"select subject_id, {_CREDIT}, rank"
    # what was lost without ever standing elsewhere is lost from where it is
    lost_from = "coalesce(t.present, t.last)" if is_read_then else "t.present"
    statement.step(
        "marks",
        f"select subject_id, {_CREDIT}, cast(null as bigint) as rank, 'cohort' as measure, {nothing} from credited\n"
        f"union all {mark}, 'visited', cast(null as uuid), days from visits\n"
        f"union all {mark}, 'entered', {nothing} from counted\n"
        f"union all {mark}, 'still_here', {nothing} from steps where left_at is null and kind = {_OPEN}\n"
        f"union all {mark}, 'won', {nothing} from steps where left_at is null and kind = {_WON}\n"
        f"union all select e.subject_id, {_credit_of('e')}, {lost_from}, 'lost', e.lost_reason_id,"
        " cast(null as double precision)\n"
        f"  from steps e join standing t on t.subject_id = e.subject_id where e.left_at is null and e.kind = {_LOST}\n"
        f"  and {lost_from} is not null\n"
        f"union all {mark}, 'moved_back', {nothing} from visits where is_moved_back = 1",
    )


def shown_stages(question: Question, cells: Cells) -> list[Stage]:
    """The pipeline's stages; a retired one only where a deal of the cohort visited it."""
    visited = cells.stages("visited")
    return [stage for stage in question.stages if not stage.is_retired or str(stage.stage_id) in visited]


def shape(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group and stage: open stages, then won, then lost ones. Each carries the cohort of its group."""
    unit = question.parameters.unit
    rows = shape_of_entries(question, cells)
    for row in rows:
        row["cohort"] = cells.get("cohort", row["group"]).count(unit)
        row["won"] = cells.get("won", row["group"], row["stage_id"]).count(unit)
    return rows


def totals(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Per group, where its cohort stands: what is open, lost and won is all of it."""
    unit = question.parameters.unit
    found = []
    for group in cells.groups() or [None]:
        placed: dict[str, Any] = {
            name: sum(cells.get(name, group, stage.stage_id).count(unit) for stage in question.stages)
            for name in ("still_here", "lost", "won")
        }
        found.append({"group": group, "cohort": cells.get("cohort", group).count(unit)} | placed)
    return found


def shape_of_entries(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group and stage, without the cohort, as version 1 had them."""
    groups = cells.groups() or [None]
    return [row for group in groups for row in _shape_group(question, cells, group)]


def _shape_group(question: Question, cells: Cells, group: str | None) -> list[dict[str, Any]]:
    unit = question.parameters.unit
    cohort = cells.get("cohort", group).count(unit)
    rows: list[dict[str, Any]] = []
    previous: int | None = None
    for stage in shown_stages(question, cells):
        entered = cells.get("entered", group, stage.stage_id).count(unit)
        visited = cells.get("visited", group, stage.stage_id)
        lost = cells.get("lost", group, stage.stage_id)
        is_step = stage.kind is not StageKind.LOST
        row = {
            "group": group,
            "stage_id": str(stage.stage_id),
            "position": stage.position,
            "kind": stage.kind.value,
            "entered": entered,
            "share_of_cohort": ratio(entered, cohort),
            "share_of_previous": None if previous is None or not is_step else ratio(entered, previous),
            "median_days": visited.days.get(0.5),
            "p90_days": visited.days.get(0.9),
            "still_here": cells.get("still_here", group, stage.stage_id).count(unit),
            "lost": lost.count(unit),
            "lost_reasons": {reason: cell.count(unit) for reason, cell in sorted(lost.by_reason.items())},
            "moved_back": cells.get("moved_back", group, stage.stage_id).count(unit),
        }
        rows.append(row | ({"currency": question.currency} if unit is Unit.AMOUNT else {}))
        if stage.kind is StageKind.OPEN:
            previous = entered
    return rows
