"""`/v1/warehouse-versions`, and figures that are asked of one by its name."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from metrics.publication import PublishedFolder, version_at
from tests.api.metrics.making import first_pipeline, make_deal
from tests.factories import Account, Api


def _current(warehouse: Path) -> str:
    current = PublishedFolder(warehouse).current()
    assert current is not None
    return current.version


def _keep(warehouse: Path) -> str:
    """Keep the current version, as a day that ends does, and let its file go."""
    folder = PublishedFolder(warehouse)
    current = folder.current()
    assert current is not None
    folder.keep(current)
    return current.version


class TestVersions:
    async def test_a_kept_version_answers_by_name_what_it_answered_then(
        self, owner: Account, refresh: Callable[[], None], tmp_path: Path
    ) -> None:
        pipeline = await first_pipeline(owner)
        await make_deal(owner, pipeline)
        refresh()
        then = await owner.read("/v1/metrics/deals_created")
        asked = {"warehouse_version": _keep(tmp_path)}
        for _ in range(2):
            await make_deal(owner, pipeline)
        refresh()
        PublishedFolder(tmp_path).prune(keep=1)
        now = await owner.read("/v1/metrics/deals_created")
        again = await owner.get("/v1/metrics/deals_created", params=asked)
        assert [answer["rows"][0]["deals_created"] for answer in (then, now, again.json())] == [1, 3, 1]
        assert again.headers["Sluice-Warehouse-Version"] == asked["warehouse_version"]
        assert again.json()["as_of"].startswith(datetime.now(UTC).date().isoformat())
        assert again.json()["freshness"]["events_behind"] == 2
        rows = await owner.read("/v1/metrics/deals_created/rows", params=asked)
        assert rows["total"]["count"] == len(rows["items"]) == 1
        file = await owner.get("/v1/metrics/deals_created/rows.csv", params=asked)
        assert len(file.text.splitlines()) == 2
        explained = await owner.read("/v1/metrics/deals_created", params=asked | {"explain": "true"})
        assert explained["rows"] == again.json()["rows"]

    async def test_they_are_listed_with_their_instant_and_the_current_one_first(
        self, owner: Account, refresh: Callable[[], None], tmp_path: Path
    ) -> None:
        assert (await owner.read("/v1/warehouse-versions"))["items"] == []
        refresh()
        kept = _keep(tmp_path)
        refresh()
        first, second = (await owner.read("/v1/warehouse-versions"))["items"]
        assert (first["version"], first["is_current"]) == (_current(tmp_path), True)
        assert (second["version"], second["is_current"]) == (kept, False)
        assert datetime.fromisoformat(first["published_at"]) > datetime.fromisoformat(second["published_at"])

    async def test_one_that_is_gone_and_one_that_never_was_are_told_apart(
        self, owner: Account, refresh: Callable[[], None]
    ) -> None:
        refresh()
        old = version_at(datetime.now(UTC) - timedelta(days=30)).version
        gone = await owner.get("/v1/metrics/win_rate", params={"warehouse_version": old})
        assert (gone.status_code, gone.json()["code"]) == (410, "warehouse_version_gone")
        assert gone.json()["detail"] == (
            "This version of the figures is not kept any more. The version with which a day (UTC) ended is kept for "
            "7 days; /v1/warehouse-versions lists those that can be asked."
        )
        for never in (version_at(datetime.now(UTC) + timedelta(days=1)).version, "../../etc/passwd", "latest"):
            missing = await owner.get("/v1/metrics/win_rate", params={"warehouse_version": never})
            assert (missing.status_code, missing.json()["code"]) == (404, "unknown_warehouse_version"), never
        assert (await owner.get("/v1/metrics/nonsense", params={"warehouse_version": old})).status_code == 404

    async def test_t1_a_kept_version_shows_everybody_their_own_and_nobody_s_before_they_came(
        self, api: Api, owner: Account, refresh: Callable[[], None], tmp_path: Path
    ) -> None:
        pipeline = await first_pipeline(owner)
        await make_deal(owner, pipeline)
        other = await api.sign_up()
        refresh()
        asked = {"warehouse_version": _keep(tmp_path)}
        late = await api.sign_up()
        refresh()
        mine = await owner.read("/v1/metrics/deals_created", params=asked)
        theirs = await other.read("/v1/metrics/deals_created", params=asked)
        assert [answer["rows"][0]["deals_created"] for answer in (mine, theirs)] == [1, 0]
        foreign = await other.get("/v1/metrics/funnel", params=asked | {"pipeline_id": pipeline["id"]})
        assert foreign.status_code == 404
        before = await late.get("/v1/metrics/deals_created", params=asked)
        assert (before.status_code, before.json()["code"]) == (410, "warehouse_version_gone")
