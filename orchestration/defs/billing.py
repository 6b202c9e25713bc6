"""Every night, what is kept of subscriptions, invoices and use is compared with what Stripe has, and repaired."""

import json
import subprocess
import sys
from typing import Any

import dagster as dg

from contracts.settings import BillingSettings


@dg.asset(
    name="stripe_reconciliation",
    group_name="billing",
    owners=["team:finance"],
    description="Subscriptions and invoices as Stripe lists them, and what of them had stood otherwise here.",
    retry_policy=dg.RetryPolicy(max_retries=3, delay=300),
)
def stripe_reconciliation() -> dg.MaterializeResult[Any]:
    """Compare, and repair what differs."""
    return dg.MaterializeResult(metadata=reconcile())


def reconcile() -> dict[str, str | int]:
    """Compare and repair; answers what came of it. It is a process of its own: only the API's code writes CRM data.

    Raises:
        dagster.Failure: it could not be done, or Stripe has other sums of use than it was told.
    """
    if not BillingSettings().is_billing_on:
        return {"note": "Billing is off."}
    command = [sys.executable, "-m", "runtime", "billing", "reconcile", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise dg.Failure(done.stderr.strip() or f"exit code {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    if found["usage"]:
        raise dg.Failure(f"Stripe's meters have other sums than they were told: {'; '.join(found['usage'])}")
    return {
        "compared": found["compared"],
        "repaired": len(found["repaired"]),
        "which": ", ".join(found["repaired"]) or "none",
    }


reconcile_stripe = dg.define_asset_job(
    "reconcile_stripe",
    selection=[stripe_reconciliation],
    description="Compare subscriptions and invoices with Stripe's lists, and repair what differs.",
)

NIGHTLY = dg.ScheduleDefinition(
    name="nightly_stripe_reconciliation",
    job=reconcile_stripe,
    cron_schedule="23 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
