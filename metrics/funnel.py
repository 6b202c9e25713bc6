"""The funnel of an entity with steps: which stages each fact of the cohort counts at, under the declared policies.

With `window_days`, a fact is read as it stood that long after it entered the cohort: nothing that came later is a step,
and where it stood then it stands. (Version 1 left out later entries alone.) Where the fact's own row holds its journey,
facts are counted by journeys (`metrics.journeys`), else their entries are read; both give the same.
"""

from typing import Any

from contracts.stages import StageKind
from metrics import journeys
from metrics.cells import Cells, compile_cells, ratio
from metrics.compile import Compiled, Statement
from metrics.dialect import DAY
from metrics.moments import CREDIT, add_credited, add_entries, add_moments, add_subjects, asked_cohort
from metrics.parameters import ENTERED, Unit
from metrics.policies import OPEN, WON, add_policies
from metrics.question import Question, Stage


def build(statement: Statement, question: Question) -> None:
    """Add the funnel's `facts`: measures cohort, visited, entered, still_here, lost, won, moved_back.

    Of those that enter the cohort each stands in one place: still here, lost from a stage, or won.
    """
    if question.entity.journey is None:
        build_by_entries(statement, question)
        return
    journeys.add(statement, question)
    journeys.add_stays(statement, question)
    _add_facts(statement)


def compile_figures(statement: Statement, question: Question) -> Compiled:
    """The cells of `build`'s facts."""
    percentiles = question.definition.percentiles
    if question.entity.journey is None:
        build_by_entries(statement, question)
        return compile_cells(statement, percentiles)
    journeys.add(statement, question)
    return journeys.compile_cells(statement, question, percentiles)


def build_by_entries(statement: Statement, question: Question) -> None:
    """As `build`, from the entries alone."""
    _build_by_entries(statement, question, is_read_then=True)


def build_of_entries(statement: Statement, question: Question) -> None:
    """As version 1 did: what left its stage after the window stands nowhere, nor does what was only ever lost."""
    _build_by_entries(statement, question, is_read_then=False)


def _build_by_entries(statement: Statement, question: Question, *, is_read_then: bool) -> None:
    cohort = asked_cohort(question)
    add_subjects(statement, question)
    if cohort.clock != ENTERED:
        add_entries(statement, question)
    add_moments(statement, question, {cohort: "cohort"})
    add_credited(statement, question)
    journeys.add_stages(statement, question)
    _add_steps(statement, question, is_read_then=is_read_then)
    statement.step("told", "select *, subject_id as journey from credited")
    statement.step(
        "stays",
        "select journey as subject_id, rank, sum(stayed) as stayed from steps\n"
        "group by journey, rank having count(*) = count(stayed)",
    )
    add_policies(statement, question, is_read_then=is_read_then)
    _add_facts(statement)


def _add_steps(statement: Statement, question: Question, *, is_read_then: bool) -> None:
    """`steps`: the visits that count as steps, each fact on a journey of its own."""
    has_entered_in_time = _in_time(statement, question, "e.entered_at")
    has_moved_in_time = _in_time(statement, question, "e.left_at")
    left_at = f"case when {has_moved_in_time} then e.left_at end" if is_read_then else "e.left_at"
    statement.step(
        "steps",
        f"select m.subject_id as journey, e.entry_number, s.rank, s.kind, ({left_at}) is null as is_last,\n"
        f"  e.lost_reason_id, {statement.dialect.microseconds_between('e.entered_at', left_at)} as stayed,\n"
        f"  case when s.kind in ({OPEN}, {WON}) and n.kind = {OPEN} and n.rank < s.rank and {has_moved_in_time}\n"
        "    then 1 else 0 end as is_moved_back\n"
        "from credited m\n"
        "join entries e on e.subject_id = m.subject_id\n"
        "join stages s on s.stage_id = e.stage_id\n"
        f"left join stages n on n.stage_id = e.next_stage_id\nwhere {has_entered_in_time}",
    )


def _in_time(statement: Statement, question: Question, instant: str) -> str:
    days = question.parameters.window_days
    if days is None:
        return "true"
    return f"{statement.dialect.microseconds_between('m.at', instant)} <= {statement.bind(days * DAY, 'bigint')}"


def _add_facts(statement: Statement) -> None:
    """`facts`: what the journey of each (`told`) says, with how long it stayed (`stays`)."""
    credit = ", ".join(f"t.{column}" for column in CREDIT)
    nothing = "cast(null as uuid) as lost_reason_id, cast(null as double precision) as days"
    statement.step(
        "facts",
        f"select t.subject_id, {credit}, s.stage_id, 'cohort' as measure, {nothing}\n"
        "from credited t left join stages s on false\n"
        f"union all select t.subject_id, {credit}, s.stage_id, 'visited', cast(null as uuid),\n"
        f"  cast(y.stayed as double precision) / {DAY}\n"
        "from told t join visits v on v.journey = t.journey join stages s on s.rank = v.rank\n"
        "left join stays y on y.subject_id = t.subject_id and y.rank = v.rank\n"
        f"union all select t.subject_id, {credit}, s.stage_id, k.measure, k.lost_reason_id,\n"
        "  cast(null as double precision)\n"
        "from told t join marks k on k.journey = t.journey join stages s on s.rank = k.rank",
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
