"""Facts by the way that they went: a million deals go a few hundred ways, and a policy needs to look at each way once.

The mart keeps of each fact the `path` of stages that it entered, and when it entered them (`Journey`). Facts with the
same path, as far as they went in time, are on one journey; what is counted of a journey is counted as often as it was
gone. Only how long a stage took differs from fact to fact: that is read from the instants, without a join.
"""

from collections.abc import Sequence

from metrics.cells import percentiles_of
from metrics.compile import Compiled, Statement
from metrics.dialect import DAY
from metrics.moments import CREDIT, add_credited, add_moments, add_subjects, asked_cohort
from metrics.policies import OPEN, WON, add_policies
from metrics.question import Question

#: How far a fact's journey is told where nothing ends it: to its end.
_ALL = 2**31 - 1


def add(statement: Statement, question: Question) -> None:
    """Add `told`: the facts of the cohort with their `journey`, and what journeys count as (`metrics.policies`)."""
    journey = question.entity.journey
    if journey is None:
        raise LookupError(f"{question.entity.name} has no journey")
    carried = (journey.path, journey.entered)
    add_subjects(statement, question, carried=carried)
    add_moments(statement, question, {asked_cohort(question): "cohort"}, carried=carried)
    statement.read_anew("subjects", "moments")
    add_credited(statement, question, carried=carried)
    credit = ", ".join(CREDIT)
    statement.step(
        "gone",
        f"select subject_id, {credit}, {journey.path} as path, {journey.entered} as entered,\n"
        f"  {_reach(statement, question, journey.entered)} as reach from credited c",
    )
    statement.step(
        "gone_by",
        "select group_key, path, reach, cast(count(*) as bigint) as facts,\n"
        f"  cast(coalesce(sum(counted_minor), 0) as {statement.dialect.wide_integer}) as amount_minor,\n"
        "  cast(count(amount_minor) - count(counted_minor) as bigint) as elsewhere\n"
        "from gone group by group_key, path, reach",
    )
    statement.step(
        "journeys",
        "select path, reach, cast(row_number() over (order by path, reach) as bigint) as journey\n"
        "from (select distinct path, reach from gone_by) ways",
    )
    add_stages(statement, question)
    _add_steps(statement)
    add_policies(statement, question)
    statement.step(
        "told",
        f"select g.subject_id, {', '.join(f'g.{column}' for column in CREDIT)}, j.journey\n"
        f"from gone g join journeys j on {_same('j', 'g', question)}",
    )


def add_stages(statement: Statement, question: Question) -> None:
    """Add `stages`: those of the question, in their order."""
    statement.table(
        "stages",
        {"stage_id": question.entity.key_type, "rank": "bigint", "kind": "text"},
        [(stage.stage_id, stage.rank, stage.kind.value) for stage in question.stages],
    )


def _reach(statement: Statement, question: Question, entered: str) -> str:
    """How many of a fact's entries came in time."""
    days = question.parameters.window_days
    if days is None:
        return f"cast({_ALL} as bigint)"
    limit = statement.bind(days * DAY, "bigint")
    return statement.dialect.count_of(entered, f"{statement.dialect.microseconds_between('c.at', 'e')} <= {limit}")


def _add_steps(statement: Statement) -> None:
    """`steps`: the entries of each journey, read from its path."""
    statement.step(
        "entries_told",
        "select journey, reach, generate_subscripts(string_to_array(path, ' '), 1) as entry_number,\n"
        "  unnest(string_to_array(path, ' ')) as entry from journeys",
    )
    statement.step(
        "places",
        "select journey, entry_number, cast(split_part(entry, ':', 1) as uuid) as stage_id,\n"
        "  cast(nullif(split_part(entry, ':', 2), '') as uuid) as lost_reason_id\n"
        "from entries_told where entry_number <= reach",
    )
    statement.step(
        "ways",
        "select *, lead(stage_id) over (partition by journey order by entry_number) as next_stage_id from places",
    )
    statement.step(
        "steps",
        "select w.journey, w.entry_number, s.rank, s.kind, w.next_stage_id is null as is_last, w.lost_reason_id,\n"
        f"  case when s.kind in ({OPEN}, {WON}) and n.kind = {OPEN} and n.rank < s.rank then 1 else 0 end"
        " as is_moved_back\n"
        "from ways w join stages s on s.stage_id = w.stage_id left join stages n on n.stage_id = w.next_stage_id",
    )


def add_stays(statement: Statement, question: Question) -> None:
    """Add `stays(subject_id, group_key, rank, stayed)`: microseconds of each fact in each stage that it has left.

    A journey says at which places of the fact's list of instants it entered stages; that where it stands is none.
    """
    statement.step(
        "stands",
        "select w.journey, w.stage_id from ways w where w.next_stage_id is null",
    )
    statement.step(
        "returns",
        "select journey, count(*) > count(distinct stage_id) as has_revisits from ways group by journey",
    )
    statement.step(
        "itineraries",
        "select j.path, j.reach, r.has_revisits, w.entry_number as place, s.rank\n"
        "from journeys j join ways w on w.journey = j.journey join stands t on t.journey = j.journey\n"
        "join returns r on r.journey = j.journey join stages s on s.stage_id = w.stage_id\n"
        "where w.stage_id <> t.stage_id",
    )
    same, stayed = _same("i", "g", question), statement.dialect.microseconds_between("since", "until")
    once, again = _spans(f"{same} where not i.has_revisits"), _spans(f"{same} where i.has_revisits")
    statement.step(
        "stays",
        f"select subject_id, group_key, rank, {stayed} as stayed from (\n{once}\n) spans\n"
        f"union all select subject_id, max(group_key), rank, cast(sum({stayed}) as bigint) from (\n{again}\n) spans\n"
        "group by subject_id, rank",
    )


def _same(one: str, other: str, question: Question) -> str:
    """Join condition: the same journey. Where nothing cuts them off, it is known by its path."""
    reach = "" if question.parameters.window_days is None else f" and {one}.reach = {other}.reach"
    return f"{one}.path = {other}.path{reach}"


def _spans(condition: str) -> str:
    return (
        "  select g.subject_id, g.group_key, i.rank, g.entered[i.place] as since, g.entered[i.place + 1] as until\n"
        f"  from gone g join itineraries i on {condition}"
    )


def compile_cells(statement: Statement, question: Question, percentiles: Sequence[float]) -> Compiled:
    """The cells of all that is counted of the journeys, as `metrics.cells.compile_cells` has them."""
    took = "cast(null as double precision[])"
    statement.step(
        "counted_marks",
        "select journey, rank, measure, lost_reason_id from marks\n"
        "union all select journey, rank, 'visited', cast(null as uuid) from visits",
    )
    wide = statement.dialect.wide_integer
    sums = (
        f"cast(sum(g.facts) as bigint) as facts, cast(sum(g.amount_minor) as {wide}) as amount_minor,\n"
        "  cast(sum(g.elsewhere) as bigint) as elsewhere"
    )
    statement.step(
        "tallies",
        f"select g.group_key, k.rank, k.measure, k.lost_reason_id, {sums}\n"
        f"from gone_by g join journeys j on {_same('j', 'g', question)}\n"
        "join counted_marks k on k.journey = j.journey group by g.group_key, k.rank, k.measure, k.lost_reason_id",
    )
    durations = ""
    if percentiles:
        add_stays(statement, question)
        statement.step(
            "durations",
            f"select group_key, rank, {percentiles_of('cast(stayed as double precision)', percentiles)} as took\n"
            "from stays group by group_key, rank",
        )
        took = "d.took"
        durations = (
            "left join durations d\n"
            "  on t.measure = 'visited' and d.rank = t.rank and d.group_key is not distinct from t.group_key\n"
        )
    return statement.compile(
        f"select t.group_key, s.stage_id, t.measure, t.lost_reason_id, t.facts, t.amount_minor, t.elsewhere,\n"
        f"  {took} as took\nfrom tallies t join stages s on s.rank = t.rank\n{durations}"
        "union all\n"
        f"select g.group_key, s.stage_id, 'cohort', cast(null as uuid), {sums},\n"
        "  cast(null as double precision[])\n"
        "from gone_by g left join stages s on false group by g.group_key, s.stage_id"
    )
