"""Features that an owner turns off."""

from contracts.access import Role
from tests.factories import Account


async def test_what_an_owner_turns_off_is_off_for_everybody_of_theirs(owner: Account, stranger: Account) -> None:
    hook = {"url": "https://example.com/hook"}
    turned = await owner.call("PUT", "/v1/feature-flags/webhooks", json={"is_on": False})
    assert turned.json() == {"flag": "webhooks", "is_on": False}
    refused = await owner.post("/v1/webhooks", json=hook)
    assert (refused.status_code, refused.json()["code"]) == (403, "feature_off")
    assert (await stranger.post("/v1/webhooks", json=hook)).status_code == 201
    shown = {one["flag"]: one["is_on"] for one in (await owner.read("/v1/feature-flags"))["items"]}
    assert shown == {"ai_drafts": True, "webhooks": False}
    await owner.call("PUT", "/v1/feature-flags/webhooks", json={"is_on": True})
    assert (await owner.post("/v1/webhooks", json=hook)).status_code == 201


async def test_only_owners_turn_features_off(owner: Account) -> None:
    admin = await owner.add_user(role=Role.ADMIN)
    assert (await admin.call("PUT", "/v1/feature-flags/ai_drafts", json={"is_on": False})).status_code == 403
    assert (await owner.call("PUT", "/v1/feature-flags/unknown", json={"is_on": False})).status_code == 422
    [entry] = [one for one in (await owner.read("/v1/feature-flags"))["items"] if one["flag"] == "ai_drafts"]
    assert entry["is_on"]
