"""Compares the published marts with PostgreSQL: events, deals by status, amounts to the cent, stage entries.

The expected figures are counted from the event log by `ingest.expected_figures`, with none of the models' SQL; marts
that are summed up from others must agree with those. A version is opened first and the log is read later: so whatever
the version holds, the log holds, too.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import duckdb
import psycopg

from contracts.settings import WarehouseSettings
from contracts.warehouse import PUBLISHED_SCHEMA, Mart
from ingest.expected_figures import OrganizationFigures, open_snapshot
from metrics.publication import (
    PublishedFolder,
    is_duckdb,
    parse_version,
    read_postgres_version,
    warehouse_folder,
)
from orchestration.publish import Publication, last_publication
from orchestration.raw_state import generation_of, read_version

#: A version holds what was loaded so long before it was published: its build took less, and so did a loader's commit.
_BUILD_MARGIN = timedelta(hours=1)
_OPEN_ATTEMPTS = 100

_KNOWN = """(h.known_before is null or {0}.known_from < h.known_before)
    and ({0}.known_to is null or {0}.known_to >= h.known_before)"""

_DEALS = f"""
with horizon as ({{horizon}})
select d.organization_id, d.status, d.currency, count(*), coalesce(sum(d.amount_minor), 0)
from {{prefix}}{Mart.FCT_DEALS} as d left join horizon as h on h.organization_id = d.organization_id
where {_KNOWN.format("d")}
group by d.organization_id, d.status, d.currency
"""

_ENTRIES = f"""
with horizon as ({{horizon}})
select s.organization_id, count(*)
from {{prefix}}{Mart.FCT_STAGE_ENTRIES} as s left join horizon as h on h.organization_id = s.organization_id
where {_KNOWN.format("s")}
group by s.organization_id
"""

_EVENTS = f"select organization_id, event_count from {{prefix}}{Mart.WAREHOUSE_FRESHNESS}"

# what is summed up by day must be what it is summed up from, whatever is known
_SUMMED_UP = f"""
select organization_id, 'stage entries by day' as figure, sum(expected), sum(found) from (
    select organization_id, count(*) as expected, 0 as found
    from {{prefix}}{Mart.FCT_STAGE_ENTRIES} where known_to is null group by organization_id
    union all
    select organization_id, 0, sum(first_entries + reentries)
    from {{prefix}}{Mart.FUNNEL_DAILY} group by organization_id
) as entries group by organization_id
union all
select organization_id, 'deals created by day', sum(expected), sum(found) from (
    select organization_id, count(*) as expected, 0 as found
    from {{prefix}}{Mart.FCT_DEALS} where known_to is null group by organization_id
    union all
    select organization_id, 0, sum(deals_created)
    from {{prefix}}{Mart.TEAM_PERFORMANCE_DAILY} group by organization_id
) as deals group by organization_id
union all
select organization_id, 'amount won by day, in minor units', sum(expected), sum(found) from (
    select organization_id, sum(coalesce(closing_amount_minor, 0)) as expected, 0 as found
    from {{prefix}}{Mart.FCT_DEALS} where known_to is null and status = 'won' group by organization_id
    union all
    select organization_id, 0, sum(won_amount_minor)
    from {{prefix}}{Mart.TEAM_PERFORMANCE_DAILY} group by organization_id
) as amounts group by organization_id
"""

#: Answers a query in which the marts are named `{prefix}mart`.
Fetch = Callable[[str], list[tuple[Any, ...]]]

_REWRITTEN = (
    "The warehouse's events were rewritten since the figures were published; the next refresh builds them anew."
)


@dataclass(frozen=True)
class _Version:
    record: Publication
    fetch: Fetch


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
            record = version.record
            if generation_of(read_version(url)) != generation_of(record.raw_version):
                return MartsReport(note=_REWRITTEN)
            snapshot = stack.enter_context(
                open_snapshot(event_log_url, warehouse, unread_since=lambda: _unread_since(url, record))
            )
            found, summed_up = _read(version.fetch, snapshot.horizon), version.fetch(_SUMMED_UP)
        return _compare(snapshot.count(), found, summed_up, lagging=snapshot.horizon)


def _unread_since(url: str, published: Publication) -> datetime | None:
    """From when on loaded rows may be missing in the version; None where it was built from raw as it is now."""
    if read_version(url) == published.raw_version:
        return None
    return parse_version(published.version).published_at - _BUILD_MARGIN


@contextmanager
def _open_published(url: str) -> Iterator[_Version | None]:
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
                yield _Version(record, fetch)
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


def _read(fetch: Fetch, horizon: Mapping[UUID, datetime]) -> dict[UUID, OrganizationFigures]:
    """The published figures, as known before the same instants."""
    found: dict[UUID, OrganizationFigures] = {}
    for organization_id, events in fetch(_EVENTS):
        found.setdefault(organization_id, OrganizationFigures()).events = events
    instants = _as_query(horizon)
    for organization_id, status, currency, deals, amount in fetch(_DEALS.replace("{horizon}", instants)):
        figures = found.setdefault(organization_id, OrganizationFigures())
        figures.add_deals(status=status, currency=currency, deals=deals, entries=0, amount_minor=int(amount))
    for organization_id, entries in fetch(_ENTRIES.replace("{horizon}", instants)):
        found.setdefault(organization_id, OrganizationFigures()).add("stage entries", entries)
    return found


def _as_query(horizon: Mapping[UUID, datetime]) -> str:
    rows = [
        f"select cast('{organization_id}' as uuid) as organization_id,"
        f" timestamp with time zone '{instant.isoformat(' ')}' as known_before"
        for organization_id, instant in horizon.items()
    ]
    nothing = "select cast(null as uuid) as organization_id, cast(null as timestamp with time zone) as known_before"
    return " union all ".join([*rows, f"{nothing} where false"])


def _compare(
    expected: Mapping[UUID, OrganizationFigures],
    found: Mapping[UUID, OrganizationFigures],
    summed_up: list[tuple[Any, ...]],
    *,
    lagging: Collection[UUID],
) -> MartsReport:
    report = MartsReport(lagging=len(lagging))
    for organization_id in sorted({*expected, *found}):
        due = expected.get(organization_id, OrganizationFigures())
        has = found.get(organization_id, OrganizationFigures())
        report.figures += 1
        if not due.events <= has.events <= due.events_at_most:
            report.wrong.append(WrongFigure(organization_id, "events", due.events, has.events))
        for figure in sorted({*due.figures, *has.figures}):
            report.figures += 1
            values = (due.figures.get(figure, 0), has.figures.get(figure, 0))
            if values[0] != values[1]:
                report.wrong.append(WrongFigure(organization_id, figure, *values))
    for organization_id, figure, sum_expected, sum_found in summed_up:
        report.figures += 1
        if sum_expected != sum_found:
            report.wrong.append(WrongFigure(organization_id, figure, int(sum_expected), int(sum_found)))
    return report
