"""Compares the published marts with PostgreSQL: events, deals by status, amounts to the cent, stage entries.

What they must say is counted from the event log alone, with none of the models' SQL. Marts lag behind, and may still be
compared to the cent: each organization is counted as it was known just before its oldest event that need not be in them
yet. Bitemporal marts can say what was known then; they are asked the same. A version is opened first and the log is
read later: so whatever the version holds, the log holds, too.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import duckdb
import psycopg

from contracts.settings import WarehouseSettings
from contracts.warehouse import PUBLISHED_SCHEMA, Group, Mart, Part, Speed
from ingest.event_log import IN_FLIGHT, open_log, stored_offsets
from ingest.outbox import newest_epoch
from ingest.sinks import open_sink
from metrics.publication import (
    PublishedFolder,
    is_duckdb,
    parse_version,
    read_postgres_version,
    warehouse_folder,
)
from orchestration.build.raw_state import generation_of, read_version
from orchestration.publish import Publication, last_publication

#: A version holds what was loaded so long before it was published: its build took less, and so did a loader's commit.
_BUILD_MARGIN = timedelta(hours=1)
_OPEN_ATTEMPTS = 100

_WAITING = f"""
select e.organization_id, min(e.recorded_at) from event_log e where e.position in ({IN_FLIGHT}) group by 1
"""

_HORIZON = "unnest(%(organizations)s::uuid[], %(instants)s::timestamptz[]) as h (organization_id, known_before)"
_IS_KNOWN = "(h.known_before is null or e.recorded_at < h.known_before)"

_LOG_EVENTS = f"""
select e.organization_id, count(*) filter (where {_IS_KNOWN}), count(*)
from event_log e left join {_HORIZON} on h.organization_id = e.organization_id group by 1
"""

# the last fact in the order of (occurred_at, aggregate_version) is what holds; staying in a stage is no entry
_LOG_DEALS = f"""
with facts as (
    select e.organization_id, e.aggregate_id, e.aggregate_version, e.type, e.occurred_at, e.data,
           e.type = any(%(entering)s) and e.data ->> 'to_stage_id' is distinct from lag(e.data ->> 'to_stage_id') over (
               partition by e.organization_id, e.aggregate_id, e.type = any(%(entering)s)
               order by e.occurred_at, e.aggregate_version
           ) as is_entry
    from event_log e left join {_HORIZON} on h.organization_id = e.organization_id
    where e.aggregate_type = 'deal' and {_IS_KNOWN}
), deals as (
    select e.organization_id,
           count(*) filter (where e.is_entry) as entries,
           (array_agg(case e.type when 'deal.closed' then e.data ->> 'outcome' else 'open' end
                      order by e.occurred_at desc, e.aggregate_version desc)
               filter (where e.type = any(%(entering)s)))[1] as status,
           (array_agg(e.data order by e.occurred_at desc, e.aggregate_version desc)
               filter (where e.type in ('deal.created', 'deal.amount.changed')))[1] as priced
    from facts e
    group by e.organization_id, e.aggregate_id
    having bool_or(e.type = 'deal.created') and coalesce(
        (array_agg(e.type order by e.aggregate_version desc)
            filter (where e.type in ('deal.deleted', 'deal.restored')))[1], '') <> 'deal.deleted'
)
select organization_id, status, priced ->> 'currency', count(*), sum(entries),
       coalesce(sum((priced ->> 'amount_minor')::bigint), 0)
from deals group by 1, 2, 3
"""

_ENTERING = ["deal.created", "deal.stage.changed", "deal.closed", "deal.reopened"]

_MART_EVENTS = f"select organization_id, event_count from {{prefix}}{Mart.WAREHOUSE_FRESHNESS}"

_MART_IS_KNOWN = """(h.known_before is null or {0}.known_from < h.known_before)
    and ({0}.known_to is null or {0}.known_to >= h.known_before)"""

_MART_DEALS = f"""
with horizon as ({{horizon}})
select d.organization_id, d.status, d.currency, count(*), coalesce(sum(d.amount_minor), 0)
from {{prefix}}{Mart.FCT_DEALS} as d left join horizon as h on h.organization_id = d.organization_id
where {_MART_IS_KNOWN.format("d")}
group by d.organization_id, d.status, d.currency
"""

_MART_ENTRIES = f"""
with horizon as ({{horizon}})
select s.organization_id, count(*)
from {{prefix}}{Mart.FCT_STAGE_ENTRIES} as s left join horizon as h on h.organization_id = s.organization_id
where {_MART_IS_KNOWN.format("s")}
group by s.organization_id
"""

#: Answers a query in which the marts are named `{prefix}mart`.
Fetch = Callable[[str], list[tuple[Any, ...]]]

_REWRITTEN = (
    "The warehouse's events were rewritten since the figures were published; the next refresh builds them anew."
)
_BEHIND = "The sales figures stay as they were, because a model or check of theirs fails."


@dataclass(frozen=True)
class WrongFigure:
    """A figure of an organization that is published as `found` and should be `expected`."""

    organization_id: UUID
    figure: str
    expected: int
    found: int


@dataclass
class MartsReport:
    """Which published figures are wrong. `note` says why nothing was compared, where nothing was.

    `lagging`: organizations compared as known before their newest events, which need not be published yet.
    """

    figures: int = 0
    lagging: int = 0
    wrong: list[WrongFigure] = field(default_factory=list)
    note: str | None = None


@dataclass
class _Figures:
    """What is known of one organization. `events_at_most`: with the events that need not be in the marts yet.

    `amounts`: deals by status, amounts by currency in minor units, stage entries, by the names that people read.
    """

    events: int = 0
    events_at_most: int = 0
    amounts: dict[str, int] = field(default_factory=dict)

    def add(self, figure: str, amount: int) -> None:
        self.amounts[figure] = self.amounts.get(figure, 0) + amount

    def add_deals(self, status: str, currency: str | None, deals: int, amount_minor: int) -> None:
        self.add(f"{status} deals", deals)
        self.add(f"amount of {status} deals, {currency}, in minor units", amount_minor)


def reconcile_marts(event_log_url: str, warehouse: WarehouseSettings) -> MartsReport:
    """Compare the published version with the event log.

    Raises:
        psycopg.Error: PostgreSQL cannot be read.
        duckdb.Error: the published version cannot be read.
        FileNotFoundError: the published version is gone.
        SinkUnavailableError: raw cannot be read.
    """
    url = warehouse.warehouse_url.get_secret_value()
    with ExitStack() as stack:
        # the version is held for its own queries only: looking at every event takes longer, and comes after
        with _open_published(url) as version:
            if version is None:
                return MartsReport(note="Nothing is published yet.")
            published, fetch = version
            if generation_of(read_version(url)) != generation_of(published.raw_version):
                return MartsReport(note=_REWRITTEN)
            if _is_behind(published):
                return MartsReport(note=_BEHIND)
            log = stack.enter_context(open_log(event_log_url))
            horizon = _read_horizon(log, warehouse, published)
            found = _read_published(fetch, horizon)
        return _compare(_count_log(log, horizon), found, lagging=len(horizon))


def _is_behind(published: Publication) -> bool:
    """Whether the facts know fewer events than the version counts: their group failed, and stays as it was."""
    facts, events = (published.parts.get(str(Part(group, Speed.LIVE))) for group in (Group.SALES, Group.EVENTS))
    return facts is not None and events is not None and facts["through"] != events["through"]


def _read_horizon(
    log: psycopg.Connection, warehouse: WarehouseSettings, published: Publication
) -> dict[UUID, datetime]:
    """Organizations not all of whose events need be published yet, and the instant before which they must be."""
    with closing(open_sink(warehouse)) as sink:
        epoch = newest_epoch(log)  # the snapshot begins here
        stored = {} if epoch is None else sink.offsets(epoch)
        horizon = {}
        # where it was built from raw as it is after the snapshot, no row of raw can be missing in the version
        if read_version(warehouse.warehouse_url.get_secret_value()) != published.raw_version:
            horizon = sink.recorded_since(parse_version(published.version).published_at - _BUILD_MARGIN)
    for organization_id, waiting_at in log.execute(_WAITING, stored_offsets(epoch, stored)):
        horizon[organization_id] = min(waiting_at, horizon.get(organization_id, waiting_at))
    return horizon


def _count_log(log: psycopg.Connection, horizon: Mapping[UUID, datetime]) -> dict[UUID, _Figures]:
    """The figures of each organization, as known before its horizon. Takes as long as a look at every event."""
    parameters = {
        "organizations": list(horizon),
        "instants": list(horizon.values()),
        "entering": _ENTERING,
    }
    found: dict[UUID, _Figures] = {}
    for organization_id, events, at_most in log.execute(_LOG_EVENTS, parameters):
        found[organization_id] = _Figures(events, at_most)
    for organization_id, status, currency, deals, entries, amount in log.execute(_LOG_DEALS, parameters):
        found[organization_id].add_deals(status, currency, deals, int(amount))
        found[organization_id].add("stage entries", int(entries))
    return found


def _read_published(fetch: Fetch, horizon: Mapping[UUID, datetime]) -> dict[UUID, _Figures]:
    """The published figures, as known before the same instants."""
    found: dict[UUID, _Figures] = {}
    for organization_id, events in fetch(_MART_EVENTS):
        found[organization_id] = _Figures(events)
    instants = _as_query(horizon)
    for organization_id, status, currency, deals, amount in fetch(_MART_DEALS.replace("{horizon}", instants)):
        found.setdefault(organization_id, _Figures()).add_deals(status, currency, deals, int(amount))
    for organization_id, entries in fetch(_MART_ENTRIES.replace("{horizon}", instants)):
        found.setdefault(organization_id, _Figures()).add("stage entries", entries)
    return found


def _as_query(horizon: Mapping[UUID, datetime]) -> str:
    rows = [
        f"select cast('{organization_id}' as uuid) as organization_id,"
        f" timestamp with time zone '{instant.isoformat(' ')}' as known_before"
        for organization_id, instant in horizon.items()
    ]
    nothing = "select cast(null as uuid) as organization_id, cast(null as timestamp with time zone) as known_before"
    return " union all ".join([*rows, f"{nothing} where false"])


def _compare(expected: Mapping[UUID, _Figures], found: Mapping[UUID, _Figures], *, lagging: int) -> MartsReport:
    report = MartsReport(lagging=lagging)
    for organization_id in sorted({*expected, *found}):
        due = expected.get(organization_id, _Figures())
        has = found.get(organization_id, _Figures())
        report.figures += 1
        if not due.events <= has.events <= due.events_at_most:
            report.wrong.append(WrongFigure(organization_id, "events", due.events, has.events))
        for figure in sorted({*due.amounts, *has.amounts}):
            report.figures += 1
            values = (due.amounts.get(figure, 0), has.amounts.get(figure, 0))
            if values[0] != values[1]:
                report.wrong.append(WrongFigure(organization_id, figure, *values))
    return report


@contextmanager
def _open_published(url: str) -> Iterator[tuple[Publication, Fetch] | None]:
    """The current version; None where there is none."""
    with ExitStack() as stack:
        for _ in range(_OPEN_ATTEMPTS):
            try:
                name, fetch = _open_duckdb(url, stack) if is_duckdb(url) else _open_postgres(url, stack)
            except FileNotFoundError:
                continue  # a newer one has just taken its place
            record = last_publication(url)
            if name is None or record is None:
                yield None
                return
            if record.version == name:
                yield record, fetch
                return
            stack.close()  # another one was published between the two
        raise FileNotFoundError("the version that CURRENT names is not there, or another one at every look")


def _open_duckdb(url: str, stack: ExitStack) -> tuple[str | None, Fetch]:
    folder = PublishedFolder(warehouse_folder(url))
    current = folder.current()
    if current is None:
        return None, lambda _query: []
    stack.enter_context(folder.hold(current))
    file = stack.enter_context(duckdb.connect(str(folder.path_of(current)), read_only=True))
    file.execute("set enable_progress_bar = false")  # it would go to standard output
    return current.version, lambda query: file.execute(query.replace("{prefix}", "")).fetchall()


def _open_postgres(url: str, stack: ExitStack) -> tuple[str | None, Fetch]:
    server = stack.enter_context(psycopg.connect(url))
    current = read_postgres_version(server)  # from here on no other version is swapped in

    def fetch(query: str) -> list[tuple[Any, ...]]:
        return server.execute(query.replace("{prefix}", f"{PUBLISHED_SCHEMA}.").encode()).fetchall()

    return current.version if current else None, fetch
