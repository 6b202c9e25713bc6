"""What is paid for ends with the organization, and before anybody forgets whose it was."""

import threading
from pathlib import Path

import psycopg
from pydantic import SecretStr

from api.privacy.forgetting import forget_due
from contracts.calls import privacy
from contracts.settings import BillingSettings
from tests.api.billing.conftest import Till
from tests.factories import PASSWORD


async def test_a_deleted_organization_is_charged_no_more(till: Till, tmp_path: Path) -> None:
    subscription = await till.subscribe(seats=3)
    organization_id = till.owner.organization_id
    await till.owner.ask(privacy.ask_for_deletion(organization_id, {"name": "Acme", "current_password": PASSWORD}))
    unreachable = BillingSettings(stripe_secret_key=SecretStr("sk_test_1"), stripe_api_url="http://127.0.0.1:9")
    with psycopg.connect(till.database.admin_url, autocommit=True) as admin:
        admin.execute("update organization_deletions set due_at = now() where organization_id = %s", [organization_id])
        admin.execute("update outbox set published_at = now()")
        for settings, customers in ((unreachable, 1), (till.settings, 0)):
            await forget_due(till.pool, tmp_path, settings, threading.Event())
            query = "select count(*) from billing_customers where organization_id = %s"
            assert admin.execute(query, [organization_id]).fetchone() == (customers,)
    assert till.stripe.account.find(subscription, "subscription")["status"] == "canceled"
