"""Metrics of other things than deals: counted by hand, on both warehouses; and of any thing, from what is declared."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
import yaml

import metrics
from metrics.entities import Entity, entity_of
from metrics.errors import ParameterError, UnknownEntityError
from metrics.parameters import read
from metrics.postgres_reader import PostgresReader
from metrics.query import Answer, answer
from metrics.registry import Definition
from metrics.rows import CellAddress, rows
from tests.conftest import Database
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.conftest import Asker, MemoryReader
from tests.metrics.marts import publish_postgres

PERIOD: dict[str, Any] = {"start": "2026-01-01", "end": "2026-02-01"}


class _Office:
    """Ada changes the team on the fifth day, Bob stays in his, Eve is in none. Bob's second sign-in is learned late."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.root = log.team()
        self.north, self.south = log.team(parent_team_id=self.root), log.team(parent_team_id=self.root)
        self.ada, self.bob, self.eve = log.user(), log.user(), log.user()
        log.join(self.north, self.ada, at=BEGINNING)
        log.join(self.south, self.bob, at=BEGINNING)
        log.leave(self.north, self.ada, at=BEGINNING + days(5))
        log.join(self.south, self.ada, at=BEGINNING + days(5))
        self.of_ada = [log.sign_in(self.ada, at=BEGINNING + days(day)) for day in (1, 1.1, 6)]
        self.of_bob = [
            log.sign_in(self.bob, at=BEGINNING + days(2)),
            log.sign_in(self.bob, at=BEGINNING + days(3), recorded=BEGINNING + days(20)),
        ]
        self.of_eve = [log.sign_in(self.eve, at=BEGINNING + days(4))]
        log.sign_in(self.eve, at=datetime(2026, 1, 31, 23, 30, tzinfo=UTC))  # in February, in Berlin


@pytest.fixture
def office(log: EventLog) -> _Office:
    return _Office(log)


@pytest.fixture(params=["duckdb", "postgresql"])
def asker(request: pytest.FixtureRequest, office: _Office) -> Iterator[Asker]:
    log = office.log
    if request.param == "duckdb":
        yield Asker(MemoryReader(log.events), log.organization_id)
        return
    database: Database = request.getfixturevalue("database")
    publish_postgres(database.admin_url, log.events, at=BEGINNING + days(200))
    reader = PostgresReader(database.admin_url)
    yield Asker(reader, log.organization_id)
    reader.close()


def _by_group(found: Answer) -> dict[str | None, int]:
    return {row["group"]: row["sign_ins"] for row in found.rows}


class TestSignIns:
    def test_they_are_counted_by_person_and_by_the_team_at_the_time(self, asker: Asker, office: _Office) -> None:
        assert _by_group(asker.answer("sign_ins", **PERIOD)) == {None: 6}
        assert _by_group(asker.answer("sign_ins", **PERIOD, group_by="user")) == {
            str(office.ada): 3,
            str(office.bob): 2,
            str(office.eve): 1,
        }
        assert _by_group(asker.answer("sign_ins", **PERIOD, group_by="team")) == {
            str(office.north): 2,
            str(office.south): 3,
            None: 1,
        }
        assert _by_group(asker.answer("sign_ins", **PERIOD, group_by="top_team")) == {str(office.root): 5, None: 1}
        months = asker.answer("sign_ins", start="2026-01-01", end="2026-03-01", group_by="month")
        assert _by_group(months) == {"2026-01": 6, "2026-02": 1}

    def test_a_past_instant_is_answered_as_it_was_known_then(self, asker: Asker, office: _Office) -> None:
        as_of = (BEGINNING + days(10)).isoformat()
        known_then = asker.answer("sign_ins", **PERIOD, group_by="user", as_of=as_of)
        assert _by_group(known_then) == {str(office.ada): 3, str(office.bob): 1, str(office.eve): 1}
        assert asker.answer("sign_ins", **PERIOD, group_by="user", as_of=as_of) == known_then

    def test_people_see_those_whose_records_they_see(self, asker: Asker, office: _Office) -> None:
        seen = asker.answer("sign_ins", **PERIOD, owner_ids=[office.ada, office.eve])
        assert _by_group(seen) == {None: 4}
        assert asker.rows("sign_ins", "sign_ins", **PERIOD, owner_ids=[office.bob]).count == 2
        assert _by_group(asker.answer("sign_ins", **PERIOD, owner_ids=[])) == {None: 0}

    def test_each_figure_equals_the_sign_ins_behind_it(self, asker: Asker, office: _Office) -> None:
        for group_by in entity_of("sign_in").dimensions.keys() | {"team", "top_team", "month"}:
            for row in asker.answer("sign_ins", **PERIOD, group_by=group_by).rows:
                page = asker.rows("sign_ins", "sign_ins", **PERIOD, group_by=group_by, group=row["group"] or "none")
                assert row["sign_ins"] == page.count == sum(item["value"] for item in page.items) > 0
        of_ada = asker.rows("sign_ins", "sign_ins", **PERIOD, group_by="user", group=str(office.ada))
        assert of_ada.items == [
            {
                "sign_in_id": str(sign_in),
                "user_id": str(office.ada),
                "signed_in_at": next(event.occurred_at for event in office.log.events if event.id == sign_in),
                "group": str(office.ada),
                "days": None,
                "value": 1,
            }
            for sign_in in sorted(office.of_ada)
        ]
        assert of_ada.amount_minor is None
        first = asker.rows("sign_ins", "sign_ins", **PERIOD, limit=4)
        then = asker.rows("sign_ins", "sign_ins", **PERIOD, limit=4, after=first.last_id)
        assert (first.has_more, then.has_more) == (True, False)
        assert {item["sign_in_id"] for page in (first, then) for item in page.items} == {
            str(sign_in) for sign_in in (*office.of_ada, *office.of_bob, *office.of_eve)
        }

    def test_what_belongs_to_deals_is_refused(self, asker: Asker) -> None:
        for wrong in ({"pipeline_id": UUID(int=1)}, {"group_by": "source"}, {"cohort": "closed"}):
            with pytest.raises(ParameterError):
                asker.answer("sign_ins", **wrong)


def _definition(name: str, **changed: Any) -> Definition:
    path = Path(metrics.__file__).parent / "definitions" / f"{name}.yml"
    raw = {key: value for key, value in yaml.safe_load(path.read_text()).items() if changed.get(key, ...) is not None}
    return Definition.model_validate(raw | {key: value for key, value in changed.items() if value is not None})


def _ask(reader: MemoryReader, definition: Definition, log: EventLog, **given: str) -> Answer:
    asker = Asker(reader, log.organization_id)
    return answer(reader, definition, read(definition, given), viewer=asker.viewer(), now=asker.now)


def test_a_ratio_of_declared_facts_needs_no_code(log: EventLog) -> None:
    pipeline = log.pipeline()
    for number in range(4):
        log.win(log.deal(pipeline, at=BEGINNING, amount_minor=100 * number), at=BEGINNING + days(1 + number))
    size = {"name": "mean_minor", "description": "Mean amount.", "aggregate": "ratio"}
    figures = [
        {"name": "deals_won", "description": "Deals won in the period."},
        {"name": "won_minor", "description": "The same deals.", "counts": "deals_won", "aggregate": "amount"},
        size | {"part": ["won_minor"], "whole": ["deals_won"]},
    ]
    found = _ask(
        MemoryReader(log.events),
        _definition("bookings", figures=figures),
        log,
        **{"from": "2026-01-07", "to": "2026-02-01"},
    )
    assert found.rows == [{"group": None, "deals_won": 3, "won_minor": 600, "currency": "EUR", "mean_minor": 200.0}]


def test_a_definition_that_its_entity_does_not_carry_is_refused() -> None:
    with pytest.raises(UnknownEntityError):
        _definition("bookings", entity="elephant")
    with pytest.raises(ValueError, match="dimensions must be among"):
        _definition("sign_ins", dimensions=["none", "source"])
    with pytest.raises(ValueError, match="clocks must be among"):
        _definition("sign_ins", facts={"sign_ins": {"clock": "closed"}})
    with pytest.raises(ValueError, match="each figure counts one of the facts"):
        _definition("sign_ins", figures=[{"name": "others", "description": "Of nothing."}])
    with pytest.raises(ValueError, match="pattern"):
        Entity.model_validate(entity_of("sign_in").model_dump() | {"owner": "1 or true"})


class _Drafts(MemoryReader):
    """A warehouse that also has drafts, which go through steps that every organization has."""

    def __init__(self, log: EventLog, paths: dict[UUID, list[str]], author_id: UUID) -> None:
        super().__init__(log.events)
        connection: duckdb.DuckDBPyConnection = self._connection
        known = "timestamptz '2026-01-05 00:00:00+00', null"
        connection.execute(
            "create table fct_letters (organization_id uuid, draft_id uuid, author_id uuid, channel text,"
            " generated_at timestamptz, known_from timestamptz, known_to timestamptz)"
        )
        connection.execute(
            "create table fct_letter_steps (organization_id uuid, draft_id uuid, number bigint,"
            " step text, next_step text,"
            " entered_at timestamptz, left_at timestamptz, known_from timestamptz, known_to timestamptz)"
        )
        for place, (draft_id, path) in enumerate(paths.items()):
            channel = ("mail", "chat")[place % 2]
            values: list[Any] = [log.organization_id, draft_id, author_id, channel, BEGINNING]
            connection.execute(f"insert into fct_letters values (?, ?, ?, ?, ?, {known})", values)
            for number, step in enumerate(path):
                is_last = number == len(path) - 1
                connection.execute(
                    f"insert into fct_letter_steps values (?, ?, ?, ?, ?, ?, ?, {known})",
                    [
                        log.organization_id, draft_id, number, step, None if is_last else path[number + 1],
                        BEGINNING + days(number), None if is_last else BEGINNING + days(number + 1),
                    ],
                )  # fmt: skip


_DRAFT = Entity.model_validate(
    {
        "name": "draft", "label": "Draft", "plural": "drafts", "description": "A drafted message.",
        "mart": "fct_letters", "id": "draft_id", "owner": "author_id",
        "clocks": {"generated": {"at": "generated_at"}},
        "dimensions": {"channel": {"column": "channel", "type": "text"}},
        "steps": {
            "mart": "fct_letter_steps", "number": "number", "stage": "step", "next_stage": "next_step",
            "entered": "entered_at", "left": "left_at",
            "stages": [
                {"stage": "generated", "label": "Generated", "kind": "open"},
                {"stage": "approved", "label": "Approved", "kind": "open"},
                {"stage": "sent", "label": "Sent", "kind": "won"},
                {"stage": "rejected", "label": "Rejected", "kind": "lost"},
            ],
        },
        "rows": ["author_id", "channel", "generated_at"],
    }
)  # fmt: skip


def test_the_funnel_compiles_for_any_entity_with_steps(log: EventLog) -> None:
    author, ids = log.user(), [UUID(int=number) for number in range(1, 5)]
    whole, waiting = ["generated", "approved", "sent"], ["generated", "approved"]
    paths = dict(zip(ids, [whole, whole, waiting, ["generated", "rejected"]], strict=True))
    reader = _Drafts(log, paths, author)
    funnel = _definition(
        "funnel",
        entity=_DRAFT,
        parameters=["cohort", "from", "to", "order", "group_by", "as_of"],
        required=None,
        defaults={"cohort": "generated"},
        cohorts=["generated", "entered"],
        dimensions=["none", "channel"],
    )
    asked = {"from": "2026-01-01", "to": "2026-02-01"}
    found = _ask(reader, funnel, log, **asked)
    assert [(row["stage_id"], row["entered"], row["still_here"], row["lost"]) for row in found.rows] == [
        ("generated", 4, 0, 1),
        ("approved", 3, 1, 0),
        ("sent", 2, 0, 0),
        ("rejected", 1, 0, 0),
    ]
    assert (found.rows[0]["median_days"], found.labels["sent"]) == (1.0, "Sent")
    by_channel = _ask(reader, funnel, log, **asked, group_by="channel", cohort="entered:approved").rows
    assert [(row["group"], row["entered"]) for row in by_channel if row["stage_id"] == "sent"] == [
        ("chat", 1),
        ("mail", 1),
    ]
    viewer = Asker(reader, log.organization_id).viewer()
    parameters = read(funnel, asked | {"group_by": "channel"})
    page = rows(
        reader, funnel, parameters, CellAddress("entered", "sent", "mail"), viewer=viewer, now=BEGINNING, limit=9
    )
    assert [(item["draft_id"], item["channel"]) for item in page.items] == [(str(ids[0]), "mail")]
