"""The quick checks that a build must pass before a part of it is published: nothing was lost, nothing is of the future.

Counts and instants only, in milliseconds. Tests of the models are dbt's; the slow suite is in `build.expectations`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.warehouse import Mart, Part
from orchestration.build.database import Connection, open_build
from orchestration.publish import Publication
from orchestration.publish.journal import completeness, how_far, journal_of

#: Marts whose facts are never taken back (a correction is a further row), and what people call their rows.
GROWING_MARTS = {
    Mart.DIM_STAGES: "states of stages",
    Mart.FCT_STAGE_ENTRIES: "stage entries",
    Mart.FCT_DEAL_VERSIONS: "states of deals",
    Mart.FCT_DEALS: "deals as known",
}

#: What each check of a build holds.
QUICK_CHECKS = {
    "no_fewer_rows": "The new version has at least the rows of the published one: facts are never taken back.",
    "no_fewer_events": "The new version counts at least the events of the published one.",
    "nothing_from_the_future": "The newest event was learned before now, as far as clocks agree.",
}

#: How far clocks of two machines may be apart.
_CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True)
class Finding:
    """Result of one check of a build. `title` and `message` are for people who know no mart."""

    name: str
    title: str
    mart: Mart
    passed: bool
    message: str


def check_build(
    warehouse_url: str,
    published: Publication | None,
    *,
    now: datetime,
    without: Collection[Part] = (),
    may_shrink: bool = False,
) -> list[Finding]:
    """Compare the build with the version that readers have now, but for parts that are not to be published anyway."""
    marts = [mart for mart in GROWING_MARTS if Part(mart.group, mart.speed) not in without]
    with open_build(warehouse_url) as build:
        counts = {mart: _count(build, mart, published) for mart in marts}
        through, events = how_far(build)
    return judge(counts, events, through, published, now=now, may_shrink=may_shrink)


def judge(
    counts: dict[Mart, int],
    events: int,
    through: datetime | None,
    published: Publication | None,
    *,
    now: datetime,
    may_shrink: bool = False,
) -> list[Finding]:
    """All checks of a build that has so many rows and events, and reaches so far."""

    def nothing_lost(name: str, mart: Mart, count: int, before: int, what: str) -> Finding:
        message = f"{count:,} {what}; the published figures have {before:,}."
        return Finding(name, f"no {what} lost", mart, may_shrink or count >= before, message)

    before = published.row_counts if published else {}
    return [
        *(
            nothing_lost("no_fewer_rows", mart, count, before.get(mart.value, 0), GROWING_MARTS[mart])
            for mart, count in counts.items()
        ),
        nothing_lost(
            "no_fewer_events", Mart.WAREHOUSE_FRESHNESS, events, published.event_count if published else 0, "events"
        ),
        Finding(
            "nothing_from_the_future",
            "nothing from the future",
            Mart.WAREHOUSE_FRESHNESS,
            passed=through is None or through <= now + _CLOCK_TOLERANCE,
            message=f"The newest event was learned at {through:%Y-%m-%d %H:%M:%S} UTC."
            if through
            else "There is no event yet.",
        ),
    ]


def check_names() -> list[tuple[str, Mart]]:
    """Name and mart of every check."""
    events = Mart.WAREHOUSE_FRESHNESS
    growing = [("no_fewer_rows", mart) for mart in GROWING_MARTS]
    return [*growing, ("no_fewer_events", events), ("nothing_from_the_future", events)]


def _count(build: Connection, mart: Mart, published: Publication | None) -> int:
    """Rows of a mart; by the journal from those last published, where it leads there: PostgreSQL counts by reading."""
    since = completeness(build).get(mart)
    if published is None or since is None or since > published.version or mart.value not in published.row_counts:
        return int(build.execute(f"select count(*) from {mart.value}").fetchone()[0])
    growth = build.execute(
        f"select coalesce(sum(change_weight), 0) from {journal_of(mart)} "
        f"where change_version is null or change_version > '{published.version}'"
    ).fetchone()
    return published.row_counts[mart.value] + int(growth[0])
