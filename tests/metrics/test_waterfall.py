"""What a period did to the pipeline: by hand, and its parts against stocks at both ends, on both warehouses."""

from collections.abc import Callable
from datetime import date
from functools import partial
from itertools import product
from random import Random
from typing import Any
from uuid import UUID

import pytest

from contracts.stages import Outcome
from tests.event_history import BEGINNING, Deal, EventLog, Pipeline, days
from tests.metrics.conftest import Asker

Ask = Callable[[EventLog], Asker]

STAGES = (("New", "open"), ("Talk", "open"), ("Won", "won"), ("Lost", "lost"), ("Paid", "won"))
FEBRUARY: dict[str, Any] = {"start": "2026-02-01", "end": "2026-03-01"}
_IN = ("created", "reopened", "taken_over")
_OUT = ("won", "lost", "handed_over")


@pytest.fixture
def ask(ask_either: Ask) -> Ask:
    return ask_either


@pytest.fixture
def pipeline(log: EventLog) -> Pipeline:
    return log.pipeline(stages=STAGES)


def _check_sums(row: dict[str, Any]) -> None:
    """Of deals and of amounts alike, what was open, came and went is what is open."""
    for kind in ("deals", "amount_minor"):
        found = {name: row[f"{name}_{kind}"] for name in ("opening", "ending", *_IN, *_OUT)}
        came = found["opening"] + sum(found[name] for name in _IN) - sum(found[name] for name in _OUT)
        if kind == "amount_minor":
            came += row["increased_amount_minor"] - row["decreased_amount_minor"] + row["revalued_amount_minor"]
        assert came == found["ending"], kind


def _parts(row: dict[str, Any]) -> dict[str, tuple[int, int]]:
    names = [name.removesuffix("_deals") for name in row if name.endswith("_deals")]
    return {name: (row[f"{name}_deals"], row[f"{name}_amount_minor"]) for name in names if row[f"{name}_deals"]}


def test_what_came_went_and_changed_by_hand(log: EventLog, pipeline: Pipeline, ask: Ask) -> None:
    ada, bob = log.user(), log.user()
    january, february = BEGINNING, BEGINNING + days(35)  # the sixth of January, the tenth of February
    log.set_rates(january.date(), {"USD": "2"}, at=january)
    log.set_rates(february.date(), {"USD": "1"}, at=february)

    def deal(amount: int, *, at: Any = january, **more: Any) -> Deal:
        return log.deal(pipeline, at=at, amount_minor=amount, owner_id=ada, **more)

    grown = deal(100, close_date=date(2026, 3, 31))
    log.set_amount(grown, 150, at=february)
    log.move(grown, pipeline.stages[1], at=february)
    log.set_close_date(grown, date(2026, 6, 30), at=february)
    shrunk_and_won = deal(200)
    log.set_amount(shrunk_and_won, 180, at=february)
    log.win(shrunk_and_won, at=february + days(1))
    log.set_amount(shrunk_and_won, 999, at=february + days(2))  # after it was won: its own affair
    log.lose(deal(300), at=february)
    deal(40, at=february)
    quick = deal(70, at=february)
    log.set_amount(quick, 90, at=february + days(1))
    log.win(quick, at=february + days(2))
    back = deal(500)
    log.win(back, at=january + days(1))
    log.reopen(back, pipeline.stages[1], at=february)
    deal(1_000, currency="USD")
    given_away = deal(7)
    log.set_owner(given_away, bob, at=february)
    log.close(won_before := deal(11), Outcome.WON, stage=pipeline.stages[2], at=january + days(2))
    log.close(won_before, Outcome.WON, stage=pipeline.stages[4], at=february)  # moving on among won stages wins nothing
    log.delete(deal(13), at=february)
    deal(17, at=BEGINNING + days(70))

    [row] = ask(log).answer("pipeline_changes", pipeline_id=pipeline.id, **FEBRUARY).rows
    assert _parts(row) == {
        "opening": (5, 100 + 200 + 300 + 500 + 7),
        "created": (2, 40 + 70),
        "reopened": (1, 500),
        "increased": (2, 50 + 20),
        "decreased": (1, 20),
        "revalued": (1, 500),
        "won": (2, 180 + 90),
        "lost": (1, 300),
        "ending": (5, 150 + 40 + 500 + 1_000 + 7),
        "moved": (1, 150),
        "redated": (1, 150),
    }
    _check_sums(row)
    by_owner = {
        row["group"]: row
        for row in ask(log).answer("pipeline_changes", pipeline_id=pipeline.id, group_by="owner", **FEBRUARY).rows
    }
    assert _parts(by_owner[str(bob)]) == {"taken_over": (1, 7), "ending": (1, 7)}
    assert _parts(by_owner[str(ada)])["handed_over"] == (1, 7)
    for one in by_owner.values():
        _check_sums(one)


def test_its_ends_are_the_pipeline_of_those_instants_and_its_parts_add_up(
    log: EventLog, pipeline: Pipeline, ask: Ask
) -> None:
    random, owners = Random(8), [log.user(), log.user(), None]
    for day in range(0, 80, 10):
        log.set_rates((BEGINNING + days(day)).date(), {"USD": f"1.{day + 10}"}, at=BEGINNING + days(day))
    for _ in range(60):
        _happen(log, pipeline, random, owners)
    asker = ask(log)
    for as_of, group_by in product(("", "2026-02-20T12:00:00Z"), ("none", "owner")):
        asked: dict[str, Any] = {"pipeline_id": pipeline.id, "group_by": group_by, "as_of": as_of}
        rows = asker.answer("pipeline_changes", **asked, **FEBRUARY).rows
        assert len(rows) == (3 if group_by == "owner" else 1)
        for name, at in (("opening", "2026-01-31"), ("ending", as_of or "2026-02-28")):
            stood = asker.answer("pipeline_value", **asked, at=at).rows
            for row in rows:
                there = [each for each in stood if each["group"] == row["group"]]
                assert sum(each["open_deals"] for each in there) == row[f"{name}_deals"]
                assert sum(each["open_amount_minor"] for each in there) == row[f"{name}_amount_minor"]
        for row in rows:
            _check_sums(row)


def _happen(log: EventLog, pipeline: Pipeline, random: Random, owners: list[UUID | None]) -> None:
    """A deal, and what becomes of it in some weeks; some of it is learned late."""
    at = BEGINNING + days(random.random() * 60)
    amount, currency = random.choice([None, 100, 700]), random.choice(["EUR", "USD", "CHF"])
    deal = log.deal(pipeline, at=at, owner_id=random.choice(owners), amount_minor=amount, currency=currency)
    for _ in range(random.randrange(7)):
        at += days(random.random() * 9)
        when: dict[str, Any] = {"at": at, "recorded": at + days(random.choice([0, 0, 20]))}
        stage = random.choice(pipeline.stages[:2])
        if deal.stage.kind != "open":
            log.reopen(deal, stage, **when)
            continue
        changes: list[Callable[..., None]] = [
            partial(log.move, deal, stage),
            partial(log.set_amount, deal, random.randrange(900)),
            partial(log.set_owner, deal, random.choice(owners)),
            partial(log.win, deal),
            partial(log.lose, deal),
        ]
        random.choice(changes)(**when)
