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
    "pays_usage": True,
}
PAID: Row = {
    "is_on": True,
    "plan": "team",
    "subscription": SUBSCRIPTION,
    "limits": {"seats": 5, "bd_accounts": 20, "ai_drafts": 2_500, "storage_mb": 50_000},
    "used": {"seats": 5, "bd_accounts": 7, "ai_drafts": 620, "storage_mb": 1_200},
    "falls_back_at": "2026-11-15T10:00:00Z",
    "beyond": [
        {
            "limit": "ai_drafts",
            "title": "AI draft beyond the plan",
            "included": 500,
            "quantity": 120,
            "unit_minor": 5,
            "cost_minor": 600,
        },
        {
            "limit": "bd_accounts",
            "title": "Day of an account beyond the plan",
            "included": 5,
            "quantity": 14,
            "unit_minor": 50,
            "cost_minor": 700,
        },
    ],
}
PLANS: list[Row] = [
    {
        "name": "free",
        "title": "Free",
        "seat_minor": {},
        "limits": {"seats": 3, "bd_accounts": 1, "ai_drafts": 0, "storage_mb": 1_000},
        "ceilings": {},
        "unit_minor": {},
    },
    {
        "name": "team",
        "title": "Team",
        "seat_minor": {"month": 2_500, "year": 25_200},
        "limits": {"seats": 0, "bd_accounts": 5, "ai_drafts": 500, "storage_mb": 50_000},
        "ceilings": {"bd_accounts": 20, "ai_drafts": 2_500},
        "unit_minor": {"bd_accounts": 50, "ai_drafts": 5},
    },
]
OFF: Row = {
    "is_on": False,
    "plan": "free",
    "subscription": None,
    "limits": None,
    "used": {"seats": 4, "bd_accounts": 5, "ai_drafts": 120, "storage_mb": 1_200},
    "falls_back_at": None,
    "beyond": [],
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
    tax_ids: list[Row] = []

    @app.get("/v1/billing")
    def read_billing() -> Row:
        return billing

    @app.get("/v1/billing/invoices")
    def list_invoices() -> Row:
        return {"items": [INVOICE], "next_cursor": None}

    @app.get("/v1/billing/plans")
    def list_plans() -> Row:
        return {"items": PLANS, "next_cursor": None}

    @app.get("/v1/billing/tax-ids")
    def list_tax_ids() -> Row:
        return {"items": tax_ids, "next_cursor": None}

    @app.post("/v1/billing/tax-ids")
    def add_tax_id(body: Row) -> Row:
        tax_ids.append({**body, "id": f"txi_{len(tax_ids) + 1}", "check": "pending"})
        return tax_ids[-1]

    @app.delete("/v1/billing/tax-ids/{tax_id}", status_code=204)
    def delete_tax_id(tax_id: str) -> None:
        tax_ids[:] = [one for one in tax_ids if one["id"] != tax_id]

    @app.post("/v1/billing/checkout")
    def open_checkout(body: Row) -> Row:
        return {"url": f"https://checkout.stripe.test/{body['plan']}-{body['seats']}"}

    @app.patch("/v1/billing/subscription")
    def change(body: Row) -> Row:
        billing["subscription"] |= {"seats": body["seats"], "plan": body["plan"], "pays_usage": body["pays_usage"]}
        changed: Row = billing["subscription"]
        return changed
