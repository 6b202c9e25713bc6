"""What a build of marts must be like before people see it: suites over small profiles of it, a row for each mart.

What cannot be at all (a stage entry of no deal, an amount that no door lets in) has fixed bounds. How much there is
has bounds learned from the versions that passed before: rows of a mart for each event of its group, which changes
neither by a large import nor by an empty day, but does where rows are doubled or lost. A part that is not as expected
is held: it stays as it was published, whatever is built, until its suites hold again.
"""

import json
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from contracts.money import LARGEST_AMOUNT_MINOR
from contracts.warehouse import Mart, Part
from metrics.publication import replace_file
from orchestration.build.database import open_build
from orchestration.build.project import Project
from orchestration.build.suites import Suite, between, judge_suites

ROWS_PER_EVENT = "rows_per_event"

#: Bounds are learned from this many versions at least, and from no more than the newest.
_LEAST_KNOWN, _MOST_KNOWN = 5, 200
#: A mart for fewer events is too small to have a usual size.
_LEAST_EVENTS = 200
#: How far beyond what it ever was a figure may be.
_SLACK = 1.5
#: Between two versions that are remembered as usual.
_NOTE_SECONDS = 900.0


@dataclass(frozen=True)
class Measure:
    """One number of a mart, and what it must be. `holds` says so to everybody."""

    name: str
    mart: Mart
    sql: str
    holds: str
    least: float | None = None
    most: float | None = None

    @property
    def is_learned(self) -> bool:
        """Whether its bounds come from history."""
        return self.least is None and self.most is None


@dataclass(frozen=True)
class MartFinding:
    """Result of one measure's check; `message` is for operators."""

    measure: Measure
    passed: bool
    message: str

    @property
    def part(self) -> Part:
        """What is held where it failed."""
        return Part(self.measure.mart.group, self.measure.mart.speed)


_FIXED = (
    Measure(
        "entries_without_deal", Mart.FCT_STAGE_ENTRIES,
        "select count(*) from fct_stage_entries e where not exists (select 1 from fct_deals d"
        " where d.organization_id = e.organization_id and d.deal_id = e.deal_id)",
        "Every stage entry is one of a deal that is known.", most=0,
    ),
    Measure(
        "entries_without_stage", Mart.FCT_STAGE_ENTRIES,
        "select count(*) from fct_stage_entries e where e.stage_id is not null and not exists (select 1"
        " from dim_stages s where s.organization_id = e.organization_id and s.stage_id = e.stage_id)",
        "Every stage entry is into a stage that is known.", most=0,
    ),
    Measure(
        "states_without_deal", Mart.FCT_DEAL_VERSIONS,
        "select count(*) from fct_deal_versions v where not exists (select 1 from fct_deals d"
        " where d.organization_id = v.organization_id and d.deal_id = v.deal_id)",
        "Every state is one of a deal that is known.", most=0,
    ),
    Measure(
        "largest_amount", Mart.FCT_DEALS, "select max(abs(amount_minor)) from fct_deals",
        "No deal's amount is larger than what can be entered.", most=LARGEST_AMOUNT_MINOR,
    ),
    Measure(
        "closed_without_day", Mart.FCT_DEALS,
        "select count(*) from fct_deals where status in ('won', 'lost') and closed_at is null",
        "Every deal that was won or lost has the instant of it.", most=0,
    ),
    Measure(
        "least_score", Mart.FCT_SCORES, "select min(score) from fct_scores",
        "No score is below 0.", least=0, most=1,
    ),
    Measure(
        "largest_score", Mart.FCT_SCORES, "select max(score) from fct_scores", "No score is above 1.", least=0, most=1,
    ),
    Measure(
        "messages_without_conversation", Mart.FCT_MESSAGES,
        "select count(*) from fct_messages m where m.conversation_id is null",
        "Every message is part of a conversation.", most=0,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class History:
    """The measures of versions that passed, the oldest first: what bounds are learned from."""

    path: Path

    def read(self) -> list[Mapping[str, float]]:
        """All that is known."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else []

    def age_seconds(self) -> float:
        """Since the newest was added; without end where there is none."""
        return time.time() - self.path.stat().st_mtime if self.path.exists() else math.inf

    def add(self, values: Mapping[str, float]) -> None:
        """Remember one more version."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.path, json.dumps([*self.read(), values][-_MOST_KNOWN:]))


@dataclass(frozen=True)
class MartQuality:
    """Judges builds of one warehouse; what passed is kept in `folder`, with data docs of the last look."""

    folder: Path
    history: History = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "history", History(self.folder / "history.json"))

    @property
    def docs(self) -> Path:
        """Data docs of marts."""
        return self.folder / "docs" / "marts"

    @property
    def raw_docs(self) -> Path:
        """Data docs of raw."""
        return self.folder / "docs" / "raw"

    def measure(
        self, warehouse_url: str, project: Project, *, without: Collection[Part] = ()
    ) -> dict[Measure, float | None]:
        """The numbers of the marts of all parts but `without`; None of a mart that is empty. Whoever calls holds the
        build lock.
        """
        wanted = [one for one in measures(project) if Part(one.mart.group, one.mart.speed) not in without]
        with open_build(warehouse_url) as build:
            found = {one: build.execute(one.sql).fetchone() for one in wanted}
        return {one: float(row[0]) if row and row[0] is not None else None for one, row in found.items()}

    def is_usual(self, values: Mapping[Measure, float | None]) -> bool:
        """Whether all numbers are within their bounds, as far as arithmetic can tell: then no version waits for Great
        Expectations, which takes ten seconds of a processor to say so. The hourly checks ask it all the same.
        """
        limits = self._limits(values)
        usual = all(_is_within(value, limits[one]) for one, value in values.items())
        if usual and self.history.age_seconds() > _NOTE_SECONDS:
            self._remember(values)
        return usual

    def judge(self, values: Mapping[Measure, float | None]) -> list[MartFinding]:
        """Have the numbers judged by Great Expectations, with data docs of it.

        Raises:
            SuiteError: they could not be judged.
        """
        found = self._judge(values)
        if found and all(one.passed for one in found):
            self._remember(values)
        return found

    def _remember(self, values: Mapping[Measure, float | None]) -> None:
        self.history.add({_key(one): value for one, value in values.items() if value is not None})

    def _judge(self, values: Mapping[Measure, float | None]) -> list[MartFinding]:
        limits = self._limits(values)
        frames, suites = {}, []
        for mart in dict.fromkeys(one.mart for one in values):
            own = {one: value for one, value in values.items() if one.mart is mart}
            frames[mart.value] = pl.DataFrame({"rows": [1], **{one.name: [value] for one, value in own.items()}})
            expected = [
                between(one.name, *limit)
                for one, value in own.items()
                if value is not None and (limit := limits[one]) is not None
            ]
            if expected:
                suites.append(Suite(mart.value, mart.value, "marts", expected))
        judged = {one.suite: one for one in judge_suites(suites, frames, docs=self.docs)}
        return [
            MartFinding(
                one,
                passed=one.mart.value not in judged or one.name not in judged[one.mart.value].failed,
                message=_said(value, limits[one]),
            )
            for one, value in values.items()
        ]

    def _limits(self, of: Iterable[Measure]) -> dict[Measure, tuple[float | None, float | None] | None]:
        bounds = _learned(self.history.read())
        return {one: bounds.get(_key(one)) if one.is_learned else (one.least, one.most) for one in of}


def measures(project: Project) -> list[Measure]:
    """All that is measured: fixed ones, and of each mart of facts how much there is of it."""
    facts = {mart: project.sized_by(mart) for mart in Mart if mart.value.startswith("fct_")}
    return [*_FIXED, *(_size(mart, events) for mart, events in facts.items() if events)]


def _size(mart: Mart, events: Sequence[str]) -> Measure:
    ours = " or ".join(f"type like '{prefix}%'" for prefix in events)
    return Measure(
        ROWS_PER_EVENT,
        mart,
        f"select count(*) * 1.0 / nullif((select case when count(*) >= {_LEAST_EVENTS} then count(*) end"
        f" from staging.stg_events where {ours}), 0) from {mart.value}",
        "There is about as much of it as there usually is for so many events.",
    )


def _is_within(value: float | None, limit: tuple[float | None, float | None] | None) -> bool:
    if value is None or limit is None:
        return True
    least, most = limit
    return (least is None or value >= least) and (most is None or value <= most)


def _learned(history: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    known: dict[str, list[float]] = {}
    for values in history:
        for key, value in values.items():
            if value:  # what nobody used yet has no usual size: its first row is none too many
                known.setdefault(key, []).append(value)
    return {
        key: (min(values) / _SLACK, max(values) * _SLACK)
        for key, values in known.items()
        if len(values) >= _LEAST_KNOWN
    }


def _key(measure: Measure) -> str:
    return f"{measure.mart.value}.{measure.name}"


def _said(value: float | None, limit: tuple[float | None, float | None] | None) -> str:
    if value is None:
        return "There is too little of it to look at."
    if limit is None:
        return f"It is {_number(value)}; what is usual is being learned."
    least, most = limit
    wanted = [
        f"{word} {_number(bound)}" for word, bound in (("at least", least), ("at most", most)) if bound is not None
    ]
    return f"It is {_number(value)}, and should be {' and '.join(wanted)}."


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"
