"""`explain=true`: the SQL behind a figure, as it ran."""

from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.access import Role
from metrics import kinds
from metrics.compile import Compiled
from metrics.duckdb_reader import DuckDBReader
from tests.api.metrics.making import first_pipeline, make_deal
from tests.factories import Account


class TestExplain:
    async def test_the_statements_behind_an_answer_are_those_that_give_it(
        self, owner: Account, refresh: Callable[[], None], tmp_path: Path
    ) -> None:
        await make_deal(owner, await first_pipeline(owner))
        refresh()
        asked = {"from": "2020-01-01", "to": "2100-01-01"}
        explained = await owner.read("/v1/metrics/win_rate", params={**asked, "explain": "true"})
        assert explained["rows"] == (await owner.read("/v1/metrics/win_rate", params=asked))["rows"]
        reader = DuckDBReader(tmp_path)
        with reader.session() as session:
            for statement in explained["statements"]:
                session.fetch(Compiled(statement["sql"], statement["values"]))
        reader.close()
        assert "fct_deals" in explained["statements"][-1]["sql"]

    async def test_they_read_the_records_that_the_caller_sees(
        self, owner: Account, refresh: Callable[[], None]
    ) -> None:
        rep = await owner.add_user(role=Role.REP)
        refresh()
        explained = await rep.read("/v1/metrics/win_rate", params={"explain": "true"})
        values = [value for one in explained["statements"] for value in one["values"].values()]
        assert str(rep.organization_id) in values
        assert [str(rep.user_id)] in values

    async def test_a_pipeline_of_nobody_is_not_there(self, owner: Account, refresh: Callable[[], None]) -> None:
        refresh()
        unknown = {"pipeline_id": "00000000-0000-7000-8000-000000000001", "explain": "true"}
        assert (await owner.get("/v1/metrics/funnel", params=unknown)).status_code == 404


async def test_a_metric_of_a_kind_that_the_code_does_not_know_is_absent(
    owner: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kinds, "KINDS", {})
    monkeypatch.setattr("api.metrics.asking.KINDS", {})
    answer = await owner.get("/v1/metrics/funnel")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_metric")
    assert "./sluice reload" in caplog.text
