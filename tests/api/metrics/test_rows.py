"""`/v1/metrics/{metric}/rows`: the facts behind a figure."""

from collections.abc import Callable

from tests.api.metrics.making import first_pipeline, make_deal
from tests.factories import Account

_WRONG_CELLS = [
    ({"measure": "happiness"}, "measure"),
    ({"measure": "entered"}, "stage_id"),
    ({"measure": "lost", "stage_id": "x"}, "stage_id"),
    ({"measure": "lost", "stage_id": "00000000-0000-7000-8000-000000000001"}, "stage_id"),
    ({"measure": "lost", "group": "none"}, "group"),
    ({"measure": "lost", "group_by": "owner", "group": "' or 1=1"}, "group"),
    ({"measure": "lost", "owner_id": "00000000-0000-7000-8000-000000000001"}, "owner_id"),
]


async def test_pages_speak_of_one_instant_while_deals_arrive(owner: Account, refresh: Callable[[], None]) -> None:
    pipeline = await first_pipeline(owner)
    made = [(await make_deal(owner, pipeline))["id"] for _ in range(5)]
    refresh()
    given = {"pipeline_id": pipeline["id"], "measure": "entered", "stage_id": pipeline["stages"][0]["id"]}
    page = await owner.read("/v1/metrics/funnel/rows", params={**given, "limit": 2})
    seen = [item["deal_id"] for item in page["items"]]
    await make_deal(owner, pipeline)
    refresh()
    while page["next_cursor"]:
        page = await owner.read("/v1/metrics/funnel/rows", params={**given, "limit": 2, "cursor": page["next_cursor"]})
        assert page["total"] == {"count": 5, "amount_minor": 25_000, "currency": "EUR"}
        seen += [item["deal_id"] for item in page["items"]]
    assert seen == sorted(made)


async def test_an_owners_row_opens_by_owner_id(owner: Account, refresh: Callable[[], None]) -> None:
    deal = await make_deal(owner, await first_pipeline(owner))
    await owner.made(f"/v1/deals/{deal['id']}/win", json={})
    refresh()
    row = (await owner.read("/v1/metrics/team_performance"))["rows"][0]
    given = {"measure": "won_amount_minor", "owner_id": row["owner_id"]}
    behind = await owner.read("/v1/metrics/team_performance/rows", params=given)
    assert behind["total"] == {"count": 1, "amount_minor": row["won_amount_minor"], "currency": "EUR"}


async def test_a_cell_that_is_none_is_named(owner: Account, refresh: Callable[[], None]) -> None:
    refresh()
    pipeline = await first_pipeline(owner)
    for given, field in _WRONG_CELLS:
        answer = await owner.get("/v1/metrics/funnel/rows", params={"pipeline_id": pipeline["id"], **given})
        assert answer.status_code == 422, answer.text
        assert [wrong["parameter"] for wrong in answer.json()["errors"]] == [field]
