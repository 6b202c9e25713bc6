"""What a metric is asked about."""

from typing import Any

from tests.factories import Account


async def first_pipeline(account: Account) -> dict[str, Any]:
    """The pipeline that an organization begins with."""
    found: dict[str, Any] = (await account.read("/v1/pipelines"))["items"][0]
    return found


async def make_deal(account: Account, pipeline: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A deal of 50.00 unless told otherwise."""
    body = {"pipeline_id": pipeline["id"], "title": "400 seats", "amount_minor": 5_000, **fields}
    return await account.made("/v1/deals", json=body)
