"""Marts by hand: from a log of events, in plain Python, for every instant at which something became known.

Slow and simple on purpose: each known interval gets the whole state of its aggregate anew, so that nothing here
resembles the incremental SQL of dbt.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import psycopg

from contracts.warehouse import Mart
from metrics.entities import Entity, Steps, entities
from metrics.publication import PublishedFolder, lock_for_swap, prepare_postgres, record_postgres_version, version_at
from metrics.registry import definitions
from tests.event_history import AnyEvent, is_gone

_BOTH = "valid_from timestamptz, valid_to timestamptz, known_from timestamptz, known_to timestamptz"
_KNOWN = "known_from timestamptz, known_to timestamptz"

TABLES: dict[Mart, str] = {
    Mart.DIM_ORGANIZATIONS: "organization_id uuid, time_zone text, currency text, week_start integer,"
    f" fiscal_year_start_month integer, {_BOTH}",
    Mart.DIM_PIPELINES: f"organization_id uuid, pipeline_id uuid, name text, is_active boolean, {_BOTH}",
    Mart.DIM_STAGES: "organization_id uuid, stage_id uuid, pipeline_id uuid, name text, kind text, position integer,"
    f" target_days integer, is_retired boolean, {_BOTH}",
    Mart.DIM_USERS: f"organization_id uuid, user_id uuid, is_active boolean, {_BOTH}",
    Mart.DIM_TEAMS: f"organization_id uuid, team_id uuid, parent_team_id uuid, manager_id uuid, {_BOTH}",
    Mart.DIM_TEAM_MEMBERS: f"organization_id uuid, user_id uuid, team_id uuid, {_BOTH}",
    Mart.FCT_STAGE_ENTRIES: "organization_id uuid, deal_id uuid, entry_number bigint, pipeline_id uuid, stage_id uuid,"
    f" entered_at timestamptz, left_at timestamptz, next_stage_id uuid, lost_reason_id uuid, status text, {_KNOWN}",
    Mart.FCT_DEAL_VERSIONS: "organization_id uuid, deal_id uuid, owner_id uuid, source_id uuid, amount_minor bigint,"
    f" currency text, close_date date, {_BOTH}",
    Mart.FCT_DEALS: "organization_id uuid, deal_id uuid, pipeline_id uuid, created_at timestamptz, owner_id uuid,"
    f" stage_id uuid, stage_entered_at timestamptz, status text, closed_at timestamptz, lost_reason_id uuid,"
    f" stage_path text, stages_entered_at timestamptz[], {_KNOWN}",
    Mart.FCT_EXCHANGE_RATES: "organization_id uuid, rates_id uuid, version_number bigint, currency text, day date,"
    f" base text, rate_billionths bigint, {_KNOWN}",
    Mart.FCT_GOALS: "organization_id uuid, goal_id uuid, version_number bigint, user_id uuid, team_id uuid,"
    f" measure text, starts_on date, ends_on date, target bigint, currency text, {_KNOWN}",
    Mart.FCT_CUSTOM_VALUES: "organization_id uuid, record_id uuid, version_number bigint, field_id uuid,"
    f" record_kind text, field_value text, {_KNOWN}",
    Mart.FCT_SCORES: "organization_id uuid, score_id uuid, deal_id uuid, contact_id uuid, score numeric(38, 6),"
    f" horizon_days integer, scored_at timestamptz, {_KNOWN}",
    Mart.FCT_SIGN_INS: f"organization_id uuid, sign_in_id uuid, user_id uuid, signed_in_at timestamptz, {_KNOWN}",
    Mart.WAREHOUSE_FRESHNESS: "organization_id uuid, through timestamptz, event_count bigint",
}

#: What kinds of metrics read of marts that no definition names.
_READ_BY_KINDS = {Mart.FCT_SUBSCRIPTIONS.value: {"seats": "bigint"}}

Row = tuple[Any, ...]
Rows = dict[Mart, list[Row]]


def _data(event: AnyEvent) -> Any:
    """The event's data, whatever its class."""
    return event.data


def rows_of(events: Iterable[AnyEvent]) -> Rows:
    """Every mart's rows after these events."""
    rows: Rows = {mart: [] for mart in TABLES}
    by_aggregate: dict[tuple[UUID, UUID], list[AnyEvent]] = defaultdict(list)
    newest: dict[UUID, tuple[datetime, int]] = {}
    events = list(events)
    kinds = {event.aggregate_id: _data(event).kind for event in events if event.type == "stage.created"}
    for event in events:
        by_aggregate[event.organization_id, event.aggregate_id].append(event)
        through, count = newest.get(event.organization_id, (event.recorded_at, 0))
        newest[event.organization_id] = max(through, event.recorded_at), count + 1
    for (organization_id, aggregate_id), found in by_aggregate.items():
        for known_from, known_to, facts in _known_states(found):
            for mart, row in _state(aggregate_id, facts, kinds):
                rows[mart].append((organization_id, *row, known_from, known_to))
    rows[Mart.WAREHOUSE_FRESHNESS] = [(organization, *values) for organization, values in newest.items()]
    return rows


def _known_states(events: list[AnyEvent]) -> Iterator[tuple[datetime, datetime | None, list[AnyEvent]]]:
    instants = sorted({event.recorded_at for event in events})
    for instant, following in zip(instants, [*instants[1:], None], strict=True):
        known = [event for event in events if event.recorded_at <= instant]
        yield instant, following, sorted(known, key=lambda event: (event.occurred_at, event.aggregate_version))


def _state(aggregate_id: UUID, facts: list[AnyEvent], kinds: dict[UUID, Any]) -> Iterator[tuple[Mart, Row]]:
    match facts[0].aggregate_type:
        case "deal":
            yield from _deal_state(aggregate_id, facts, kinds)
        case "exchange_rates":
            yield from _rates_state(aggregate_id, facts[-1])
        case "computed_values":
            yield from _values_state(_data(facts[-1]).record_id, _data(facts[-1]).record_kind, facts[-1])
        case "score":
            names = ("deal_id", "contact_id", "score", "horizon_days", "scored_at")
            yield Mart.FCT_SCORES, (aggregate_id, *(getattr(_data(facts[0]), name) for name in names))
        case "goal":
            yield from _goal_state(aggregate_id, facts[-1])
        case "team":
            yield from _team_state(aggregate_id, facts)
        case "user":
            yield from _sign_ins(aggregate_id, facts)
        case "organization" | "pipeline" | "stage":
            yield from _dimension_state(aggregate_id, facts)


def _sign_ins(user_id: UUID, facts: list[AnyEvent]) -> Iterator[tuple[Mart, Row]]:
    for fact in facts:
        if fact.type == "user.logged_in":
            yield Mart.FCT_SIGN_INS, (fact.id, user_id, fact.occurred_at)


def _values_state(record_id: UUID, kind: str, last: AnyEvent) -> Iterator[tuple[Mart, Row]]:
    for field_id, value in _data(last).custom.items():
        yield Mart.FCT_CUSTOM_VALUES, (record_id, last.aggregate_version, UUID(field_id), kind, value)


def _rates_state(rates_id: UUID, last: AnyEvent) -> Iterator[tuple[Mart, Row]]:
    for currency, rate in _data(last).rates.items():
        identity = rates_id, last.aggregate_version, currency
        yield Mart.FCT_EXCHANGE_RATES, (*identity, _data(last).day, _data(last).base, int(Decimal(rate) * 10**9))


def _goal_state(goal_id: UUID, last: AnyEvent) -> Iterator[tuple[Mart, Row]]:
    if last.type == "goal.set":
        names = ("user_id", "team_id", "measure", "starts_on", "ends_on", "target", "currency")
        yield Mart.FCT_GOALS, (goal_id, last.aggregate_version, *(getattr(_data(last), name) for name in names))


def _dimension_state(aggregate_id: UUID, facts: list[AnyEvent]) -> Iterator[tuple[Mart, Row]]:
    values: dict[str, Any] = {}
    for start, end, fact in _spans(facts):
        values = {**values, **_data(fact).model_dump(), "is_retired": fact.type == "stage.deleted"}
        if start == end:
            continue
        if fact.aggregate_type == "organization":
            settings = ("time_zone", "currency", "week_start", "fiscal_year_start_month")
            yield Mart.DIM_ORGANIZATIONS, (*(values[name] for name in settings), start, end)
        elif fact.aggregate_type == "pipeline":
            yield Mart.DIM_PIPELINES, (aggregate_id, values["name"], values["is_active"], start, end)
        else:
            names = ("pipeline_id", "name", "kind", "position", "target_days", "is_retired")
            yield Mart.DIM_STAGES, (aggregate_id, *(values[name] for name in names), start, end)


def _team_state(team_id: UUID, facts: list[AnyEvent]) -> Iterator[tuple[Mart, Row]]:
    joined: dict[UUID, datetime] = {}
    for fact in facts:
        if fact.type == "team.member.added":
            joined[_data(fact).user_id] = fact.occurred_at
        elif fact.type == "team.member.removed" and (since := joined.pop(_data(fact).user_id, None)):
            yield Mart.DIM_TEAM_MEMBERS, (_data(fact).user_id, team_id, since, fact.occurred_at)
    for user_id, since in joined.items():
        yield Mart.DIM_TEAM_MEMBERS, (user_id, team_id, since, None)
    for start, end, fact in _spans([fact for fact in facts if fact.type in {"team.created", "team.updated"}]):
        yield Mart.DIM_TEAMS, (team_id, _data(fact).parent_team_id, _data(fact).manager_id, start, end)


def _deal_state(deal_id: UUID, facts: list[AnyEvent], kinds: dict[UUID, Any]) -> Iterator[tuple[Mart, Row]]:
    if is_gone(facts):
        return
    created = next(fact for fact in facts if fact.type == "deal.created")
    pipeline_id = _data(created).pipeline_id
    told = [fact for fact in facts if fact.type == "deal.custom.changed"]
    yield from _values_state(deal_id, "deal", told[-1]) if told else ()
    entries = _entries(facts)
    turns = _turns(entries, kinds)
    for number, fact in enumerate(entries, start=1):
        left = entries[number] if number < len(entries) else None
        yield (
            Mart.FCT_STAGE_ENTRIES,
            (
                deal_id,
                number,
                pipeline_id,
                _data(fact).to_stage_id,
                fact.occurred_at,
                left and left.occurred_at,
                left and _data(left).to_stage_id,
                getattr(_data(turns[number - 1]), "lost_reason_id", None),
                str(kinds[_data(fact).to_stage_id]),
            ),
        )
    values: dict[str, Any] = {}
    for start, end, fact in _spans(facts):
        values |= _data(fact).model_dump()
        names = ("owner_id", "source_id", "amount_minor", "currency", "close_date")
        if start != end:
            yield Mart.FCT_DEAL_VERSIONS, (deal_id, *(values[name] for name in names), start, end)
    last = entries[-1]
    status = str(kinds[_data(last).to_stage_id])
    closed_at = None if status == "open" else turns[-1].occurred_at
    stage_id = _data(last).to_stage_id
    yield (
        Mart.FCT_DEALS,
        (
            deal_id,
            pipeline_id,
            created.occurred_at,
            values["owner_id"],
            stage_id,
            last.occurred_at,
            status,
            closed_at,
            getattr(_data(turns[-1]), "lost_reason_id", None),
            " ".join(_told(fact, turn) for fact, turn in zip(entries, turns, strict=True)),
            [fact.occurred_at for fact in entries],
        ),
    )


def _told(entry: AnyEvent, turn: AnyEvent) -> str:
    """An entry in a deal's path: the stage, and why it was lost."""
    reason_id = getattr(_data(turn), "lost_reason_id", None)
    return f"{_data(entry).to_stage_id}:{reason_id}" if reason_id else str(_data(entry).to_stage_id)


def _entries(facts: list[AnyEvent]) -> list[AnyEvent]:
    """The facts that enter another stage than the one before: staying is no entry."""
    entries: list[AnyEvent] = []
    for fact in facts:
        stage_id = getattr(_data(fact), "to_stage_id", None)
        if stage_id and not (entries and _data(entries[-1]).to_stage_id == stage_id):
            entries.append(fact)
    return entries


def _turns(entries: list[AnyEvent], kinds: dict[UUID, Any]) -> list[AnyEvent]:
    """For each entry the one since which the deal is open, won or lost."""
    turns: list[AnyEvent] = []
    for number, entry in enumerate(entries):
        before, kind = entries[number - 1] if number else None, kinds[_data(entry).to_stage_id]
        turns.append(turns[-1] if before and kinds[_data(before).to_stage_id] == kind else entry)
    return turns


def _spans(facts: list[AnyEvent]) -> Iterator[tuple[datetime, datetime | None, AnyEvent]]:
    for fact, following in zip(facts, [*facts[1:], None], strict=True):
        yield fact.occurred_at, following.occurred_at if following else None, fact


def fill_duckdb(connection: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    """Create and fill the marts in an empty database."""
    for mart, columns in TABLES.items():
        connection.execute(f"create table {mart.value} ({columns})")
        if found := rows[mart]:
            marks = ", ".join("?" * len(found[0]))
            connection.executemany(f"insert into {mart.value} values ({marks})", found)
    for name, columns in _declared_marts():
        connection.execute(f"create table {name} ({columns})")


def _declared_marts() -> Iterator[tuple[str, str]]:
    """Name and columns of the marts of entities that have none by hand."""
    for entity in entities().values():
        if entity.mart not in {mart.value for mart in TABLES}:
            yield entity.mart, _declared(entity)
            if entity.steps is not None:
                yield entity.steps.mart, _steps(entity, entity.steps)


def _declared(entity: Entity) -> str:
    """Columns of the mart of an entity that has none by hand: empty, so that every metric can be asked."""
    columns = {"organization_id": "uuid", entity.id: "uuid", entity.owner: "uuid"}
    columns |= {one.column: one.type for one in entity.dimensions.values()}
    columns |= {name: "timestamptz" for clock in entity.clocks.values() for name in (clock.at, clock.since) if name}
    if entity.amount is not None:
        columns |= {entity.amount.column: "bigint", entity.amount.currency: "text"}
    columns |= _READ_BY_KINDS.get(entity.mart, {})
    told_apart = [name for clock in entity.clocks.values() for name in clock.where]
    told_apart += [
        name
        for definition in definitions().values()
        if definition.entity.name == entity.name
        for facts in definition.facts.values()
        for name in facts.where
    ]
    columns |= {name: "text" for name in (*entity.rows, *told_apart) if name not in columns}
    return ", ".join([*(f"{name} {kind}" for name, kind in columns.items()), _KNOWN])


def _steps(entity: Entity, steps: Steps) -> str:
    """The same of the mart of its steps."""
    columns = {"organization_id": "uuid", entity.id: "uuid", steps.number: "bigint", steps.stage: "text"}
    columns |= {steps.next_stage: "text", steps.entered: "timestamptz", steps.left: "timestamptz"}
    return ", ".join([*(f"{name} {kind}" for name, kind in columns.items()), _KNOWN])


def publish_duckdb(warehouse: Path, events: Iterable[AnyEvent], *, at: datetime) -> None:
    """Publish a version of a DuckDB warehouse."""
    folder = PublishedFolder(warehouse)
    folder.root.mkdir(parents=True, exist_ok=True)
    version = version_at(at)
    with duckdb.connect(folder.path_of(version)) as connection:
        fill_duckdb(connection, rows_of(list(events)))
    folder.point_to(version)


def publish_postgres(url: str, events: Iterable[AnyEvent], *, at: datetime) -> None:
    """Publish a version of a PostgreSQL warehouse."""
    with psycopg.connect(url) as connection:
        prepare_postgres(connection)
        connection.commit()
        lock_for_swap(connection)
        for mart, found in rows_of(list(events)).items():
            connection.execute(f"drop table if exists published.{mart.value}")
            connection.execute(f"create table published.{mart.value} ({TABLES[mart]})")
            if found:
                marks = ", ".join(["%s"] * len(found[0]))
                with connection.cursor() as cursor:
                    cursor.executemany(f"insert into published.{mart.value} values ({marks})", found)
        for name, columns in _declared_marts():
            connection.execute(f"create table if not exists published.{name} ({columns})")
        record_postgres_version(connection, version_at(at))
