"""No statement reads a relation without the organization's filter, and nothing a caller says becomes SQL."""

import re
from datetime import timedelta
from itertools import product, zip_longest
from typing import Any
from uuid import UUID

import pytest

from contracts.warehouse import Mart
from metrics.compile import Compiled, Statement
from metrics.dialect import DUCKDB, POSTGRES, Dialect
from metrics.duckdb_reader import DuckDBSession
from metrics.errors import ParameterError
from metrics.moments import DAY_BOUNDS
from metrics.parameters import read
from metrics.publication import PublishedVersion
from metrics.query import answer
from metrics.registry import Definition, definition_of, definitions
from metrics.rows import CellAddress, rows
from metrics.viewer import Viewer
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.conftest import FIELD, NOW, Asker, MemoryReader, splits

_MARTS = "|".join(mart.value for mart in Mart)
_READS = re.compile(rf"\b(?:from|join)\s+\w+\.(?:{_MARTS})\b", re.IGNORECASE)
_FILTERED = re.compile(
    rf"\bfrom\s+\w+\.(?:{_MARTS})\s+where\s+organization_id = cast\((?:\$|%\()(\w+)\)?s?\s+as uuid\)", re.IGNORECASE
)
_MENTIONS = re.compile(rf"\b(?:{_MARTS})\b", re.IGNORECASE)


class Recording:
    """A reader that keeps every statement it is given, and runs each text once: a fourth of them is another one."""

    def __init__(self, reader: MemoryReader) -> None:
        self._reader, self.statements = reader, list[Compiled]()
        self._answers: dict[str, list[tuple[Any, ...]]] = {}

    def current(self) -> PublishedVersion:
        return self._reader.current()

    def session(self) -> Any:
        keep, known, context = self.statements, self._answers, self._reader.session()

        class Kept(DuckDBSession):
            def fetch(self, statement: Compiled) -> list[tuple[Any, ...]]:
                keep.append(statement)
                if statement.sql not in known:
                    known[statement.sql] = super().fetch(statement)
                return known[statement.sql]

        class Opened:
            def __enter__(self) -> Kept:
                session = context.__enter__()
                return Kept(version=session.version, cursor=session.cursor)

            def __exit__(self, *error: object) -> None:
                context.__exit__(None, None, None)

        return Opened()

    def close(self) -> None:
        self._reader.close()


def _log() -> EventLog:
    log = EventLog()
    log.organization()
    return log


def _questions(pipeline_id: UUID, stage_id: UUID) -> list[tuple[str, dict[str, str]]]:
    """Every metric, with every value of every parameter that changes its SQL."""
    values = {
        "order": ["reached", "visited", "strict"],
        "regress": ["current"],
        "window_days": ["", "7"],
        "currency": ["", "USD"],
        "custom": ["", f"{FIELD}:1"],
        "pipeline_id": [str(pipeline_id)],
    }
    found = []
    for metric in definitions().values():
        entered = f"entered:{_stage_of(metric, stage_id)}"
        values["cohort"] = [entered if cohort == "entered" else cohort for cohort in metric.cohorts]
        options = [[(name, value) for value in values[name]] for name in metric.parameters if name in values]
        groups = [("group_by", each) for each in splits(metric) if "group_by" in metric.parameters]
        asked = [dict(choice) for choice in product(*options)]
        found += [
            (metric.name, {**asked[number % len(asked)], "group_by": group}) for number, (_, group) in enumerate(groups)
        ]
        found += [(metric.name, choice) for choice in asked[:: max(1, len(asked) // 6)]]
    return found


def _stage_of(metric: Definition, stage_id: UUID) -> str:
    """A stage that the metric's entity has."""
    steps = metric.entity.steps
    return steps.stages[0].stage if steps and steps.stages else str(stage_id)


def test_every_statement_filters_every_relation_by_the_organization() -> None:
    log = _log()
    pipeline = log.pipeline()
    log.deal(pipeline, at=BEGINNING)
    reader = Recording(MemoryReader(log.events))
    viewer = Viewer(log.organization_id, frozenset({UUID(int=5)}))
    for name, given in _questions(pipeline.id, pipeline.stages[0].id):
        metric = definition_of(name)
        parameters = read(metric, given)
        answer(reader, metric, parameters, viewer=viewer, now=NOW)
        measure = metric.measures[0]
        cell = CellAddress(measure.name, _stage_of(metric, pipeline.stages[0].id) if measure.is_per_stage else None)
        rows(reader, metric, parameters, cell, viewer=viewer, now=NOW, limit=10)
    assert len(reader.statements) > 100
    for statement in reader.statements:
        reads = _READS.findall(statement.sql)
        filters = _FILTERED.findall(statement.sql)
        assert reads
        assert len(reads) == len(filters) == len(_MENTIONS.findall(statement.sql))
        assert {statement.values[name] for name in filters} == {log.organization_id}
        # the only literals are our own words
        assert set(re.findall(r"'([^']*)'", statement.sql)) <= _OUR_WORDS


#: Of the funnel, exits, goals, scores and the tree of teams; what a definition declares is bound.
_OUR_WORDS = {
    "weighted",
    "history won",
    "history closed",
    *("open", "won", "lost", "team", "member"),
    *(" ", ":", ""),
    *("cohort", "visited", "entered", "still_here", "moved_back"),
    *("goal ", "exits", "arrived", "on_the_way"),
    *("paid seats", "active people"),
    *("opening", "created", "reopened", "ending", "moved", "redated"),
    *("revalued", "increased", "decreased", "handed_over", "taken_over"),
    *("scored", "settled", "squares", "not won", "scored_deals", "score_weighted", "converted", "not converted"),
    *(f"tenth_{place:02}" for place in range(1, 11)),
    *(f"{start}-{end}" for start, end in zip_longest(DAY_BOUNDS, DAY_BOUNDS[1:], fillvalue="")),
}


@pytest.mark.parametrize("dialect", [DUCKDB, POSTGRES], ids=lambda dialect: dialect.name)
def test_what_is_bound_never_appears_in_the_text(dialect: Dialect) -> None:
    statement = Statement(dialect, UUID(int=1))
    statement.mart("deals", Mart.FCT_DEALS, columns="deal_id", known_at=NOW)
    statement.table("listed", {"label": "text"}, [("'; drop table fct_deals; --",)])
    compiled = statement.compile("select 1 from listed")
    assert "drop table" not in compiled.sql
    assert "'; drop table fct_deals; --" in compiled.values.values()


def test_two_organizations_in_one_warehouse_do_not_mix() -> None:
    mine = _log()
    pipeline = mine.pipeline()
    mine.win(mine.deal(pipeline, at=BEGINNING, owner_id=mine.user()), at=BEGINNING + days(1))
    alone = Asker(MemoryReader(mine.events), mine.organization_id)
    other = EventLog(organization_id=UUID(int=99), seed=2)
    other.organization(time_zone="Asia/Tokyo", currency="JPY")
    # the other organization uses my ids wherever it can choose one
    foreign = other.deal(pipeline, at=BEGINNING, amount_minor=1_000_000, owner_id=UUID(int=5))
    other.move(foreign, pipeline.stages[1], at=BEGINNING + days(1))
    together = Asker(MemoryReader([*mine.events, *other.events]), mine.organization_id)
    values = {"from": "2026-01-01", "to": "2026-03-01", "pipeline_id": pipeline.id}
    for metric, definition in definitions().items():
        given: dict[str, Any] = {name: value for name, value in values.items() if name in definition.parameters}
        one = alone.answer(metric, **given)
        both = together.answer(metric, **given)
        assert (both.rows, both.labels, both.notes) == (one.rows, one.labels, one.notes)


@pytest.mark.parametrize("group", ["' or true --", "NONE", "2026-1", "x" * 36, "none\n"])
def test_a_group_that_no_answer_has_is_refused(group: str) -> None:
    log = _log()
    pipeline = log.pipeline()
    asker = Asker(MemoryReader(log.events), log.organization_id)
    with pytest.raises(ParameterError, match="group"):
        asker.rows("funnel", "cohort", pipeline_id=pipeline.id, group_by="owner", group=group)


def test_scope_counts_present_owners_and_for_teams_the_credited_one() -> None:
    log = _log()
    pipeline, ada, bob = log.pipeline(), log.user(), log.user()
    deal = log.deal(pipeline, at=BEGINNING + days(1), owner_id=ada)
    log.win(deal, at=BEGINNING + days(2))
    log.set_owner(deal, bob, at=BEGINNING + days(3))
    log.deal(pipeline, at=BEGINNING + days(1), owner_id=None)
    asker = Asker(MemoryReader(log.events), log.organization_id, now=BEGINNING + timedelta(days=30))
    given: dict[str, Any] = {"pipeline_id": pipeline.id}
    assert asker.entered(**given)[0] == 2
    assert asker.entered(**given, owner_ids=[ada])[0] == 0
    assert asker.entered(**given, owner_ids=[bob])[0] == 1
    assert asker.entered(**given, owner_ids=[])[0] == 0
    assert [row["owner_id"] for row in asker.answer("team_performance", owner_ids=[ada]).rows] == [str(ada)]
    assert asker.answer("team_performance", owner_ids=[bob]).rows == []
    assert asker.rows("team_performance", "deals_won", owner_ids=[ada]).count == 1


def test_a_person_or_a_team_is_asked_about_and_nobody_sees_more_by_asking() -> None:
    log = _log()
    pipeline, ada, bob = log.pipeline(), log.user(), log.user()
    sales = log.team()
    north = log.team(parent_team_id=sales)
    log.join(north, ada, at=BEGINNING)
    for owner in (ada, ada, bob, None):
        log.deal(pipeline, at=BEGINNING + days(1), owner_id=owner)
    log.leave(north, ada, at=BEGINNING + days(9))
    log.join(north, bob, at=BEGINNING + days(9))
    asker = Asker(MemoryReader(log.events), log.organization_id, now=BEGINNING + timedelta(days=30))
    given: dict[str, Any] = {"pipeline_id": pipeline.id}
    assert asker.entered(**given, whose=f"owner:{ada}")[0] == 2
    assert asker.entered(**given, whose=f"team:{sales}")[0] == 1  # of those who are in it, or below, now
    then = (BEGINNING + days(2)).isoformat()
    assert asker.entered(**given, whose=f"team:{sales}", as_of=then)[0] == 2
    assert asker.entered(**given, whose=f"team:{sales}", owner_ids=[ada])[0] == 0
    answer = asker.answer("bookings", whose=f"owner:{bob}")
    assert answer.parameters["whose"] == f"owner:{bob}"
    assert "whose" not in asker.answer("bookings").parameters
