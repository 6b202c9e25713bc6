"""Rules see bulk changes only where whoever makes one asks for it."""

from api.bulk.worker import work_once
from tests.api.rules.conftest import Shop


async def test_rules_act_on_a_bulk_change_only_where_it_says_so(shop: Shop) -> None:
    rule = await shop.rule("deal.updated", {"do": "task.create", "with": {"title": "Look at it"}})
    deal = await shop.deal()
    for tag, run_rules in (("quiet", False), ("loud", True)):
        action = {"do": "deal.tag", "with": {"add": [tag]}}
        await shop.owner.made("/v1/bulk", json={"filter": [], "action": action, "run_rules": run_rules})
        while await work_once(shop.pool):
            pass
    await shop.settle()
    assert (await shop.owner.read(f"/v1/deals/{deal['id']}"))["tags"] == ["loud", "quiet"]
    [run] = await shop.runs(rule)
    event = shop.rows("select correlation_id from event_log where event_id = %s", run["event_id"])[0]
    [loud] = [job for job in (await shop.owner.read("/v1/bulk"))["items"] if job["run_rules"]]
    assert str(event["correlation_id"]) == loud["id"]
