"""Learning from `lead_features` and scoring what is open: what teaches, what is written."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import psycopg
import pytest

from models_ml import storage
from models_ml.errors import ScoringError
from models_ml.training import Trained
from orchestration.score_runs import score_changed, train_for
from orchestration.scorer import run
from orchestration.scoring import CONTACTS, TIME, Subject, is_better, learn, scores_of, teaching_rows

START = datetime(2025, 1, 1, tzinfo=UTC)
#: Of these deals something new is known since the last run.
TOUCHED = ["00000000-0000-7000-8000-000000000095", "00000000-0000-7000-8000-000000000096"]


def features(deals: int, *, seed: int = 0) -> pl.DataFrame:
    """Deals in two instants each; the more often one moved, the likelier it is won. The newest fifth is still open."""
    random, rows = np.random.default_rng(seed), []
    for number in range(deals):
        at = START + timedelta(hours=6 * number)
        moves = float(random.integers(0, 6))
        won = random.random() < 1 / (1 + np.exp(1.5 - 0.6 * moves))
        closed = at + timedelta(days=float(random.integers(5, 60))) if number < deals * 0.8 else None
        for step in range(2):
            rows.append(  # noqa: PERF401  # random numbers are drawn in order
                {
                    "deal_id": f"00000000-0000-7000-8000-{number:012d}",
                    TIME: at + timedelta(hours=step),
                    "is_present": closed is None and step == 1,
                    "outcome": None if closed is None else "won" if won else "lost",
                    "outcome_at": closed,
                    "pipeline_id": "p",
                    "stage_id": f"stage {number % 3}",
                    "source_id": None if number % 5 == 0 else f"source {number % 4}",
                    "amount_minor": float(random.integers(1, 1000)),
                    "has_company": True,
                    "has_contact": bool(number % 2),
                    "moves": moves,
                    "changes": float(step),
                    "days_since_created": 0.0,
                    "days_in_stage": 0.0,
                    "days_to_close_date": None,
                }
            )
    return pl.DataFrame(
        rows, schema_overrides={"outcome_at": pl.Datetime("us", "UTC"), "days_to_close_date": pl.Float64}
    )


class TestTeaching:
    def test_a_deal_teaches_once_and_open_ones_are_no_losses(self) -> None:
        rows = teaching_rows(features(400), horizon_days=90)
        assert len(rows) == rows["deal_id"].n_unique() == 400
        young = rows.filter(pl.col("outcome").is_null())
        assert len(young) == 80
        assert young["won"].null_count() == 80  # twenty days old: their ninety are not over

    def test_a_win_after_the_horizon_is_none(self) -> None:
        rows = teaching_rows(features(400), horizon_days=10)
        late = rows.filter((pl.col("outcome") == "won") & (pl.col("outcome_at") - pl.col(TIME) > timedelta(days=10)))
        assert len(late) > 20
        assert set(late["won"]) == {"no"}

    def test_without_deals_it_says_so(self) -> None:
        with pytest.raises(ScoringError, match="No deal"):
            teaching_rows(features(1).head(0))


class TestScoring:
    def test_what_is_open_is_scored_with_reasons_by_a_stored_model(self) -> None:
        history = features(2_500)
        trained = learn(history)
        assert trained.card["verdict"] == "published", trained.card["reasons"]
        assert trained.model is not None
        stored = storage.dump(trained.model)
        model = storage.load(stored, expected_sha256=storage.fingerprint(stored))
        scores = list(scores_of(model, history, names={"stage 1": "Demo held"}))
        assert len(scores) == 500
        by_deal = {one["deal_id"]: one for one in scores}
        moves = dict(history.filter(pl.col("is_present")).select("deal_id", "moves").iter_rows())
        often = np.mean([by_deal[deal]["score"] for deal in by_deal if moves[deal] == 5])
        never = np.mean([by_deal[deal]["score"] for deal in by_deal if moves[deal] == 0])
        assert often > never + 0.2
        words = [reason["words"] for one in scores for reason in one["reasons"]]
        assert not any("“stage 1”" in one for one in words)  # people read names, not ids
        assert any("Moves" in reason["words"] for one in scores for reason in one["reasons"])

    def test_leads_are_scored_by_what_was_done_about_them(self) -> None:
        random, rows = np.random.default_rng(0), []
        for number in range(1_500):
            at, calls = START + timedelta(hours=6 * number), float(random.integers(0, 6))
            converts = number < 1_200 and random.random() < 1 / (1 + np.exp(2 - 0.7 * calls))
            counted = {name: 0.0 for name in CONTACTS.features if name not in ("source_id", "has_company", "calls")}
            rows.append(
                {
                    "contact_id": f"00000000-0000-7000-8000-{number:012d}",
                    TIME: at,
                    "is_present": not converts,
                    "outcome": "converted" if converts else None,
                    "outcome_at": at + timedelta(days=9) if converts else None,
                    "source_id": f"source {number % 4}",
                    "has_company": bool(number % 2),
                    **counted,
                    "calls": calls,
                }
            )
        history = pl.DataFrame(rows, schema_overrides={"outcome_at": pl.Datetime("us", "UTC")})
        assert set(teaching_rows(history.tail(300), CONTACTS)["won"]) == {None}  # nobody knows yet
        trained = learn(history, CONTACTS)
        assert trained.card["verdict"] == "published", trained.card["reasons"]
        assert trained.model is not None
        scores = list(scores_of(trained.model, history, CONTACTS, names={}))
        assert len(scores) == history["is_present"].sum()
        called = dict(history.select("contact_id", "calls").iter_rows())
        often, never = ([one["score"] for one in scores if called[one["contact_id"]] == n] for n in (5, 0))
        assert np.mean(often) > np.mean(never) + 0.2
        with pytest.raises(ScoringError, match="No lead"):
            learn(history.head(0), CONTACTS)

    def test_learning_twice_gives_the_same_bytes(self) -> None:
        once, again = (learn(features(1_200)) for _ in range(2))
        assert once.card == again.card
        assert once.model is not None
        assert again.model is not None
        assert storage.dump(once.model) == storage.dump(again.model)

    def test_a_worse_model_does_not_take_the_place_of_the_present_one(self) -> None:
        def card(auc: float, verdict: str = "published") -> dict[str, Any]:
            return {
                "verdict": verdict,
                "reasons": ["why"],
                "auc": auc,
                "brier": 0.25 - auc / 10,
                "brier_reference": 0.25,
            }

        assert is_better(card(0.7), None) is None
        assert is_better(card(0.69), {"card": card(0.7)}) is None
        assert "worse" in (is_better(card(0.6), {"card": card(0.7)}) or "")
        assert is_better(card(0.9, "abstains"), None) == "why"


class Scored:
    """A client of the API that remembers what it is asked to write."""

    def __init__(self) -> None:
        self.organization_id = UUID(int=1)
        self.model: dict[str, Any] | None = {"id": "model 1", "card": {"auc": None}}
        self.written: list[pl.DataFrame] = []
        self.promoted: list[str] = []

    def present(self, _subject: Subject) -> dict[str, Any] | None:
        return self.model

    def keep(self, trained: Trained, _subject: Subject, **_: object) -> dict[str, Any]:
        return {"id": "model 2", "number": 2, "card": trained.card}

    def promote(self, model_id: str) -> None:
        self.promoted.append(model_id)

    def write(self, _model: object, changed: pl.DataFrame, _subject: Subject) -> dict[str, int]:
        self.written.append(changed)
        return {"written": len(changed)}


class TestByTheClock:
    @pytest.fixture
    def deals(self, monkeypatch: pytest.MonkeyPatch) -> list[pl.DataFrame]:
        """What the warehouse holds: the last of these."""
        held = [features(100)]

        def read(*_: object, ids: list[str] | None = None, **__: object) -> pl.DataFrame:
            return held[-1] if ids is None else held[-1].filter(pl.col("deal_id").is_in(ids))

        monkeypatch.setattr("orchestration.score_runs.read_features", read)
        monkeypatch.setattr("orchestration.score_runs.known_through", lambda *_: START)
        monkeypatch.setattr("orchestration.score_runs.changed_ids", lambda *_, **__: TOUCHED)
        return held

    def test_deals_are_scored_again_when_they_or_the_model_changed(
        self, deals: list[pl.DataFrame], tmp_path: Path
    ) -> None:
        client: Any = Scored()

        def run(now: datetime = START) -> dict[str, int]:
            return score_changed(client, None, tmp_path, now=now)  # type: ignore[arg-type]  # nothing asks it

        assert run() == {"open": 20, "looked_at": 200, "changed": 20, "written": 20}
        assert run() == {"open": 20, "looked_at": 4, "changed": 0}  # what was touched alone
        moved = pl.col("is_present") & (pl.col("deal_id").str.ends_with("95"))
        amount = pl.when(moved).then(pl.lit(12_345.0)).otherwise(pl.col("amount_minor"))
        deals.append(deals[-1].with_columns(amount_minor=amount))
        assert run() == {"open": 20, "looked_at": 4, "changed": 1, "written": 1}
        assert client.written[-1]["deal_id"].to_list() == ["00000000-0000-7000-8000-000000000095"]
        untouched = pl.col("deal_id").str.ends_with("99")
        deals.append(deals[-1].with_columns(moves=pl.when(untouched).then(pl.lit(9.0)).otherwise(pl.col("moves"))))
        assert run()["changed"] == 0
        assert run(START + timedelta(hours=1))["changed"] == 1  # everything is compared now and then
        deals.append(deals[-1].filter(pl.col("deal_id") != TOUCHED[0]))
        assert run()["open"] == 19  # one is closed
        client.model = {"id": "model 2"}
        assert run()["changed"] == 19
        client.model = None
        assert run() == {}

    def test_a_run_that_was_stopped_scores_the_same_deals_again(
        self, deals: list[pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert deals
        client: Any = Scored()
        session: Any = None
        with monkeypatch.context() as patched:
            patched.setattr(client, "write", lambda *_: (_ for _ in ()).throw(ScoringError("away")))
            with pytest.raises(ScoringError):
                score_changed(client, session, tmp_path, now=START)
        assert score_changed(client, session, tmp_path, now=START)["changed"] == 20

    def test_a_model_is_promoted_unless_it_is_worse_or_there_is_too_little_to_learn(
        self, deals: list[pl.DataFrame]
    ) -> None:
        client: Any = Scored()
        session: Any = SimpleNamespace(version="1")
        deals.append(features(1_200))
        client.model = {"id": "model 1", "card": {"auc": 0.99, "brier": 0.0, "brier_reference": 0.25}}
        refused = train_for(client, session)
        assert "worse" in str(refused.refusal)
        assert client.promoted == []
        client.model = None
        done = train_for(client, session)
        assert (done.refusal, client.promoted) == (None, ["model 2"])
        deals.append(features(1).head(0))
        assert "No deal" in str(train_for(client, session).refusal)


def test_the_scorer_survives_a_warehouse_that_is_away_and_tries_what_failed_now_and_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looks: list[str | Exception] = [psycopg.OperationalError("starting up"), "1", "1", "1", "2", "2"]
    tried: list[int] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            del timeout
            if not looks:
                self.set()
            return self.is_set()

    def look(_url: str) -> str:
        found = looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setenv("SLUICE_WAREHOUSE_URL", f"duckdb:///{tmp_path}/warehouse")
    monkeypatch.setenv("SLUICE_DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr("orchestration.scorer.features_version", look)

    def score(*_: object) -> str | None:
        tried.append(len(looks))
        return "deals are not scored: the key is refused" if len(tried) == 1 else None

    said: list[tuple[str, str | None]] = []

    def say(_self: object, state: str, *, error: str | None = None, **_detail: object) -> None:
        if (state, error) not in said[-1:]:
            said.append((state, error))

    monkeypatch.setenv("SLUICE_DATABASE_RELAY_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setattr("orchestration.scorer.score_all", score)
    monkeypatch.setattr("orchestration.scorer.Heartbeat.say", say)
    run(Stop())
    assert tried == [4, 1]  # once for each version, not at each look
    assert said == [
        ("failing", "the warehouse cannot be looked at: starting up"),
        ("failing", "deals are not scored: the key is refused"),
        ("running", None),
        ("stopped", None),
    ]
