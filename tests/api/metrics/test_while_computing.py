"""What everybody else has while a figure is computed."""

import asyncio
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.metrics import asking
from metrics.answers import Figures
from tests.api.metrics.making import first_pipeline, make_deal
from tests.conftest import Database
from tests.factories import Account, start_api
from tests.warehouse_builder import duckdb_warehouse


class TestWhileAFigureIsComputed:
    async def test_others_have_its_connection_and_go_first(
        self, database: Database, tmp_path: Path, refresh: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api = await start_api(database, warehouse=duckdb_warehouse(tmp_path), pool_size=1)
        owner = await api.sign_up()
        pipeline = await first_pipeline(owner)
        refresh()
        has_begun, may_end, niceness = threading.Event(), threading.Event(), []
        compute = Figures.answer

        def compute_slowly(*arguments: Any, **named: Any) -> Any:
            niceness.append(os.getpriority(os.PRIO_PROCESS, 0))
            has_begun.set()
            may_end.wait(60)
            return compute(*arguments, **named)

        monkeypatch.setattr(Figures, "answer", compute_slowly)
        asked = asyncio.create_task(owner.get("/v1/metrics/funnel", params={"pipeline_id": pipeline["id"]}))
        try:
            assert await asyncio.to_thread(has_begun.wait, 60)
            assert (await owner.get("/v1/me")).status_code == 200
        finally:
            may_end.set()
            assert (await asked).status_code == 200
            await api.close()
            api.app.state.services.figures.close()
        assert niceness[0] > os.getpriority(os.PRIO_PROCESS, 0)

    async def test_who_does_not_wait_gets_the_answer_of_the_version_before(
        self, owner: Account, refresh: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pipeline = await first_pipeline(owner)
        refresh()
        may_end, compute = threading.Event(), Figures.answer

        def compute_slowly(*arguments: Any, **named: Any) -> Any:
            assert may_end.wait(60)
            return compute(*arguments, **named)

        async def ask(cache_control: str = "") -> dict[str, Any]:
            given, headers = {"pipeline_id": pipeline["id"]}, {"Cache-Control": cache_control}
            return await owner.read("/v1/metrics/funnel", params=given, headers=headers)

        before = await ask()
        await make_deal(owner, pipeline)
        refresh()
        monkeypatch.setattr(Figures, "answer", compute_slowly)
        assert await ask() == before | {"freshness": before["freshness"] | {"events_behind": 1}}
        longer = 5 * asking.PATIENCE.total_seconds()
        patient = asyncio.create_task(ask("no-cache"))
        assert await asyncio.wait({patient}, timeout=longer) == (set(), {patient})
        monkeypatch.setattr(asking, "OLDEST_KEPT", timedelta(0))
        too_old = asyncio.create_task(ask())
        assert await asyncio.wait({too_old}, timeout=longer) == (set(), {too_old})
        may_end.set()
        assert await patient == await too_old
        assert (await ask())["rows"][0]["entered"] == (await patient)["rows"][0]["entered"] == 1
