"""What is used is told to Stripe's meters, once each, whatever is lost on the way."""

import psycopg
import pytest

from api.billing.provider import BillingUnavailable, Provider
from api.billing.usage import report_usage
from tests.api.billing.conftest import Till
from tests.conftest import Database

_DRAFTED = """
insert into drafts (organization_id, id, version, request_key, kind, state, prompt, model, inputs_hash, cited, written,
    text, input_tokens, output_tokens, cost_micro, created_at)
values (%s, gen_random_uuid(), 1, gen_random_uuid()::text, 'summary', %s, '', '', '', '{}', '', '', 0, 0, 0,
    date_trunc('hour', now()) - %s * interval '1 hour')
"""


async def _report(till: Till) -> int:
    async with Provider(till.settings) as provider:
        return await report_usage(till.pool, provider)


def _told(till: Till, meter: str) -> list[int]:
    events = reversed(till.stripe.account.all("billing.meter_event"))
    return [int(one["payload"]["value"]) for one in events if one["event_name"] == f"sluice_{meter}"]


async def test_accounts_and_drafts_are_told_once_each(
    till: Till, api_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.billing.provider._RETRIES", 0)
    await till.subscribe(seats=2)
    account = {"channel": "telegram", "name": "One", "address": "+351900000001"}
    await till.owner.made("/v1/bd-accounts", json=account)
    _drafted(api_database, till.owner.organization_id, hours_ago=(3, 3, 5), failed=1)
    till.stripe.losing = len(till.stripe.requests) + 1  # the second report arrives, its answer does not
    with pytest.raises(BillingUnavailable):
        await _report(till)
    till.stripe.kept.clear()
    assert await _report(till) > 0
    assert await _report(till) == 0
    assert sorted(_told(till, "ai_drafts")) == [1, 2]
    assert _told(till, "bd_accounts") == [1]


async def test_what_stripe_refuses_is_told_once_its_meter_is_set_up(till: Till, api_database: Database) -> None:
    await till.subscribe(seats=2)
    _drafted(api_database, till.owner.organization_id, hours_ago=(3, 5), failed=0)
    [meter] = [one for one in till.stripe.account.all("billing.meter") if one["event_name"] == "sluice_ai_drafts"]
    meter["event_name"] = "another"
    await _report(till)
    assert (_told(till, "ai_drafts"), _told(till, "bd_accounts")) == ([], [0])
    meter["event_name"] = "sluice_ai_drafts"
    till.stripe.kept.clear()
    await _report(till)
    assert (_told(till, "ai_drafts"), _told(till, "bd_accounts")) == ([1, 1], [0])


def _drafted(database: Database, organization_id: object, *, hours_ago: tuple[int, ...], failed: int) -> None:
    drafts = [("generated", hours) for hours in hours_ago] + [("failed", 3)] * failed
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        for state, hours in drafts:
            admin.execute(_DRAFTED, [organization_id, state, hours])
