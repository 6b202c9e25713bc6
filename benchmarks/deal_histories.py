"""Histories of deals by the million: DuckDB computes them, and they are written straight into raw or the event log.

Everything follows from row numbers by hashing, so the same arguments give the same events. Deals of several
organizations are spread over a year and a half; a tenth of their events is backdated by up to 30 days. A delivery is
10,000 events that come afterwards, the same mix whatever the size of what is there: new deals, deals of the last two
months, and old ones. Histories of a few deals, made to order: `tests/event_history.py`.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import psycopg
import pyarrow as pa
from deltalake import write_deltalake

from bus.records import Partition
from contracts.topics import topic_of
from contracts.warehouse import RAW_EVENT_COLUMNS
from ingest.sinks.interface import FRAME_SCHEMA

DELIVERY_EVENTS = 10_000
_ORGANIZATIONS = 20

_END = datetime(2026, 7, 1, tzinfo=UTC)
_SPAN_DAYS = 540
_EVENTS_PER_DEAL = 4.7
_EVENTS_PER_TOUCHED_DEAL = 4
_NEW_DEALS, _OLD_DEALS = 500, 100
_CHUNK_DEALS = 200_000
_ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Sydney")
_USERS = 8
_STAGES = (("New", "open"), ("Talk", "open"), ("Offer", "open"), ("Won", "won"), ("Lost", "lost"))
#: What the event log has of an event besides its own bookkeeping.
_LOGGED = (
    "event_id", "organization_id", "type", "version", "aggregate_type", "aggregate_id", "aggregate_version",
    "occurred_at", "recorded_at", "actor", "actor_id", "correlation_id", "data",
)  # fmt: skip
#: Kinds of things in ids made of a kind and a number.
_ORGANIZATION, _USER, _TEAM, _PIPELINE, _STAGE, _SETUP_EVENT = range(1, 7)


def _macros(organizations: int) -> str:
    return f"""
create macro share(number, salt) as (hash(number, salt) % 1000003) / 1000003.0;
create macro thing(kind, number) as printf('00000000-0000-7%03x-8000-%012x', kind::integer, number::bigint);
create macro hex16(number, salt) as lpad(to_hex(hash(number, salt)), 16, '0');
create macro uuid7(instant, number, salt) as concat(
    substr(printf('%012x', epoch_ms(instant)), 1, 8), '-', substr(printf('%012x', epoch_ms(instant)), 9, 4), '-7',
    substr(hex16(number, salt), 1, 3), '-8', substr(hex16(number, salt), 4, 3), '-', substr(hex16(number, salt), 5, 12)
);
create macro organization_of(deal) as deal % {organizations};
create macro created_at(deal) as
    timestamptz '{_END.isoformat()}' - to_seconds({_SPAN_DAYS} * 86400 * (1 - share(deal, 'created')));
create macro owner(deal, salt) as thing({_USER}, organization_of(deal) * {_USERS} + hash(deal, salt) % {_USERS});
create macro stage(deal, number) as thing({_STAGE}, organization_of(deal) * {len(_STAGES)} + number);
create macro facts(type, deal, number, moves) as case type
    when 'deal.created' then printf(
        '{{"pipeline_id":"%s","to_stage_id":"%s","amount_minor":%d,"currency":"EUR","owner_id":"%s",'
        '"company_id":null,"contact_id":null,"source_id":null,"close_date":null}}',
        thing({_PIPELINE}, organization_of(deal)), stage(deal, 0), (hash(deal, 'amount') % 10000000)::bigint,
        owner(deal, 'owner')
    )
    when 'deal.amount.changed' then printf(
        '{{"amount_minor":%d,"currency":"EUR"}}', (hash(deal, number) % 10000000)::bigint
    )
    when 'deal.owner.changed' then printf('{{"owner_id":"%s"}}', owner(deal, number::varchar))
    when 'deal.closed' then printf(
        '{{"pipeline_id":"%s","from_stage_id":"%s","to_stage_id":"%s","outcome":"%s","lost_reason_id":null}}',
        thing({_PIPELINE}, organization_of(deal)), stage(deal, moves % 3), stage(deal, 3 + hash(deal, 'won') % 2),
        case when hash(deal, 'won') % 2 = 0 then 'won' else 'lost' end
    )
    else printf(
        '{{"pipeline_id":"%s","from_stage_id":"%s","to_stage_id":"%s"}}',
        thing({_PIPELINE}, organization_of(deal)), stage(deal, (moves - 1) % 3), stage(deal, moves % 3)
    )
end;
"""


#: Columns deal, number (of the event within the deal), aggregate_version, type, occurred_at and recorded_at of each
#: event of the deals from $first to below $next.
_EXISTING = f"""
with deals as (
    select
        range as deal,
        created_at(range) as began_at,
        1 + (hash(range, 'length') % 9)::integer as length,
        86400 * (0.2 + 11.8 * share(range, 'pace')) as pace
    from range($first, $next)
),
recorded as (
    select *, began_at + to_seconds((number - 1 + 0.1 * share(deal, number::varchar)) * pace) as recorded_at
    from (select *, unnest(range(1, length + 1)) as number from deals)
)
select
    deal,
    number,
    number as aggregate_version,
    case
        when number = 1 then 'deal.created'
        when number = length and share(deal, 'closes') < 0.75 then 'deal.closed'
        when share(deal, 'kind' || number) < 0.6 then 'deal.stage.changed'
        when share(deal, 'kind' || number) < 0.85 then 'deal.amount.changed'
        else 'deal.owner.changed'
    end as type,
    case
        when number > 1 and share(deal, 'late' || number) < 0.1
            then greatest(began_at, recorded_at - to_seconds(30 * 86400 * share(deal, 'days' || number)))
        else recorded_at
    end as occurred_at,
    recorded_at
from recorded
where recorded_at < timestamptz '{_END.isoformat()}'
"""

#: The same columns for delivery $delivery, above $deals deals; the mix is that of the module's first lines.
_DELIVERED = f"""
with present as (select range as deal from range($deals)),
touched as (
    (
        select deal, created_at(deal) as began_at, 0 as before
        from present where created_at(deal) > timestamptz '{_END.isoformat()}' - interval 60 days
        order by hash(deal, $delivery)
        limit {DELIVERY_EVENTS // _EVENTS_PER_TOUCHED_DEAL - _NEW_DEALS - _OLD_DEALS}
    )
    union
    (select deal, created_at(deal), 0 from present order by hash(deal, -$delivery) limit {_OLD_DEALS})
    union
    select $deals + $delivery * {_NEW_DEALS} + range, timestamptz '{_END.isoformat()}' + $delivery * interval 1 hour, 1
    from range({_NEW_DEALS})
),
recorded as (
    select
        *,
        timestamptz '{_END.isoformat()}' + $delivery * interval 1 hour
        + to_seconds(number * 600 + 500 * share(deal, $delivery::varchar || number)) as recorded_at
    from (select *, unnest(range(1, {_EVENTS_PER_TOUCHED_DEAL + 1})) as number from touched)
)
select
    deal,
    number + 1000 * $delivery as number,
    number + 1000 * $delivery * (1 - before) as aggregate_version,
    case
        when before = 1 and number = 1 then 'deal.created'
        when number = {_EVENTS_PER_TOUCHED_DEAL} and hash(deal, $delivery) % 2 = 0 then 'deal.closed'
        when hash(deal, number) % 4 < 2 then 'deal.stage.changed'
        when hash(deal, number) % 4 = 2 then 'deal.amount.changed'
        else 'deal.owner.changed'
    end as type,
    case
        when before = 0 and share(deal, 'late' || number || $delivery) < 0.15
            then greatest(began_at, recorded_at - to_seconds(30 * 86400 * share(deal, 'days' || number || $delivery)))
        when number = 1 then began_at
        else recorded_at
    end as occurred_at,
    recorded_at
from recorded
"""


#: How often a deal has moved by then: each move enters another stage than the one it leaves.
_MOVES = "count(*) filter (type = 'deal.stage.changed') over (partition by deal order by number) as moves"


class DealHistories:
    """Writes `events` events (about) into the Delta table `raw`, then deliveries one by one."""

    def __init__(self, raw: Path, *, events: int) -> None:
        self.deals = _deals(events)
        self._raw = raw
        self._delivered = 0

    def write_existing(self) -> int:
        """Write everything that is there before the first delivery; answers how many events it is."""
        loaded_at = datetime.now(UTC) - timedelta(days=1)
        return sum(self._append(block) for block in _blocks(self.deals, _ORGANIZATIONS, loaded_at))

    def deliver(self, events: int = DELIVERY_EVENTS) -> int:
        """Write the next delivery, or its first events; answers how many it has."""
        self._delivered += 1
        parameters = {"deals": self.deals, "delivery": self._delivered}
        delivered = _compute(_DELIVERED, parameters, _ORGANIZATIONS, datetime.now(UTC))
        return self._append(delivered.slice(0, events))

    def _append(self, rows: pa.Table) -> int:
        table = rows.cast(_arrow_schema())
        write_deltalake(str(self._raw), table, mode="append")
        return int(table.num_rows)


def seed_event_log(admin_url: str, *, events: int, organizations: int = 10) -> int:
    """Fill an empty event log with about `events` events of deals, all delivered long ago; how many there are.

    Raises:
        psycopg.Error: the database cannot be written, or the role is no superuser.
    """
    written = 0
    with psycopg.connect(admin_url) as connection:
        # no trigger fires: nothing is announced, and nothing waits in the outbox
        connection.execute("set session_replication_role = replica")
        connection.execute("set local synchronous_commit = off")
        statement = f"copy event_log ({', '.join(_LOGGED)}) from stdin (format csv)"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for block in _blocks(_deals(events), organizations, datetime.now(UTC)):
                rows = pl.DataFrame(block.select(_LOGGED))
                copy.write(rows.write_csv(include_header=False))
                written += rows.height
        connection.commit()
        connection.autocommit = True
        connection.execute("vacuum analyze event_log")
    return written


def _deals(events: int) -> int:
    return max(1, int(events / _EVENTS_PER_DEAL))


def _blocks(deals: int, organizations: int, loaded_at: datetime) -> Iterator[pa.Table]:
    """Everything before the first delivery, in pieces that memory holds."""
    yield pl.DataFrame(list(_setup_rows(organizations, loaded_at)), schema=FRAME_SCHEMA, orient="row").to_arrow()
    for first in range(0, deals, _CHUNK_DEALS):
        bounds = {"first": first, "next": min(first + _CHUNK_DEALS, deals)}
        yield _compute(_EXISTING, bounds, organizations, loaded_at)


def _compute(events: str, parameters: dict[str, int], organizations: int, loaded_at: datetime) -> pa.Table:
    place = Partition(topic_of("deal"), 0)
    columns = {
        "event_id": "uuid7(recorded_at, deal, 'event' || number)",
        "version": "1",
        "organization_id": f"thing({_ORGANIZATION}, organization_of(deal))",
        "aggregate_type": "'deal'",
        "aggregate_id": "uuid7(created_at(deal), deal, 'deal')",
        "actor": "'user'",
        "actor_id": "owner(deal, 'owner')",
        "causation_id": "null",
        "correlation_id": "uuid7(recorded_at, deal, 'event' || number)",
        "depth": "0",
        "data": "facts(type, deal, number, moves)",
        "epoch": f"thing({_ORGANIZATION}, 0)",
        "topic": f"'{place.topic}'",
        "partition": f"{place.number}",
        "offset": "row_number() over ()",
        "loaded_at": f"timestamptz '{loaded_at.isoformat()}'",
    }
    select = ", ".join(f'{columns.get(name, name)} as "{name}"' for name in RAW_EVENT_COLUMNS)
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(_macros(organizations))
        return connection.sql(
            f"select {select} from (select *, {_MOVES} from ({events})) order by recorded_at", params=parameters
        ).to_arrow_table()


def _arrow_schema() -> pa.Schema:
    return pl.DataFrame(schema=FRAME_SCHEMA).to_arrow().schema


def _setup_rows(organizations: int, loaded_at: datetime) -> Iterator[dict[str, object]]:
    """Organizations with their users, teams, pipeline and stages."""
    at = _END - timedelta(days=_SPAN_DAYS + 1)
    numbers = iter(range(1_000_000))
    for organization in range(organizations):
        for type_, kind, number, version, data in _setup(organization):
            yield {
                "event_id": _thing(_SETUP_EVENT, next(numbers)),
                "type": type_,
                "version": 1,
                "organization_id": _thing(_ORGANIZATION, organization),
                "aggregate_type": type_.partition(".")[0],
                "aggregate_id": _thing(kind, number),
                "aggregate_version": version,
                "occurred_at": at,
                "recorded_at": at,
                "actor": "system",
                "correlation_id": _thing(_ORGANIZATION, organization),
                "depth": 0,
                "data": json.dumps(data),
                "epoch": _thing(_ORGANIZATION, 0),
                "topic": topic_of(type_.partition(".")[0]),
                "partition": 0,
                "offset": 0,
                "loaded_at": loaded_at,
            }


def _setup(organization: int) -> Iterator[tuple[str, int, int, int, dict[str, object]]]:
    zone = _ZONES[organization % len(_ZONES)]
    calendar = {"time_zone": zone, "currency": "EUR", "week_start": 1, "fiscal_year_start_month": 1}
    yield "organization.created", _ORGANIZATION, organization, 1, calendar
    for team in (2 * organization, 2 * organization + 1):
        yield "team.created", _TEAM, team, 1, {"parent_team_id": None, "manager_id": None, "is_active": True}
    for place in range(_USERS):
        user = organization * _USERS + place
        yield "user.created", _USER, user, 1, {"role": "rep", "record_scope": "own", "is_active": True}
        team = 2 * organization + place % 2
        yield "team.member.added", _TEAM, team, 2 + place // 2, {"user_id": _thing(_USER, user)}
    yield "pipeline.created", _PIPELINE, organization, 1, {"name": "Sales", "is_active": True}
    for position, (name, kind) in enumerate(_STAGES):
        state = {"name": name, "kind": kind, "position": 10 * position, "target_days": None}
        number = organization * len(_STAGES) + position
        yield "stage.created", _STAGE, number, 1, {"pipeline_id": _thing(_PIPELINE, organization), **state}


def _thing(kind: int, number: int) -> str:
    return f"00000000-0000-7{kind:03x}-8000-{number:012x}"
