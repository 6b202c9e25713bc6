"""The double's billing: an organization that pays, or that does not."""

from typing import Any

from fastapi import FastAPI

Row = dict[str, Any]

SUBSCRIPTION: Row = {
    "id": "s1",
    "version": 3,
    "plan": "team",
    "status": "past_due",
    "interval": "month",
    "seats": 5,
    "monthly_minor": 12_500,
    "currency": "USD",
    "started_at": "2026-09-01T10:00:00Z",
    "trial_ends_at": None,
    "period_ends_at": "2026-12-01T10:00:00Z",
    "cancels_at": None,
    "ended_at": None,
    "past_due_since": "2026-11-01T10:00:00Z",
}
PAID: Row = {
    "is_on": True,
    "plan": "team",
    "subscription": SUBSCRIPTION,
    "limits": {"seats": 5, "bd_accounts": 5, "ai_drafts": 500, "storage_mb": 50_000},
    "used": {"seats": 4, "bd_accounts": 5, "ai_drafts": 120, "storage_mb": 7},
    "falls_back_at": "2026-11-15T10:00:00Z",
}
OFF: Row = {
    "is_on": False,
    "plan": "free",
    "subscription": None,
    "limits": None,
    "used": {"seats": 4, "bd_accounts": 5, "ai_drafts": 120, "storage_mb": 7},
    "falls_back_at": None,
}
INVOICE: Row = {
    "number": "T-0001",
    "issued_at": "2026-11-01T10:00:00Z",
    "seats": 5,
    "total_minor": 12_500,
    "tax_minor": 0,
    "discount_minor": 1_000,
    "credited_minor": 0,
    "currency": "USD",
    "status": "open",
    "page_url": "https://invoice.stripe.test/1",
    "pdf_url": "https://invoice.stripe.test/1.pdf",
}


def serve_billing(app: FastAPI, billing: Row) -> None:
    """Serve `/v1/billing` as `billing` says; a change of it is kept there."""

    @app.get("/v1/billing")
    def read_billing() -> Row:
        return billing

    @app.get("/v1/billing/invoices")
    def list_invoices() -> Row:
        return {"items": [INVOICE], "next_cursor": None}

    @app.post("/v1/billing/checkout")
    def open_checkout(body: Row) -> Row:
        return {"url": f"https://checkout.stripe.test/{body['plan']}-{body['seats']}"}

    @app.patch("/v1/billing/subscription")
    def change(body: Row) -> Row:
        billing["subscription"] |= {"seats": body["seats"], "plan": body["plan"]}
        changed: Row = billing["subscription"]
        return changed
