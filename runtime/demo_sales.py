"""What people of the demo set up around their deals: who gets new ones, what they sell. Safe to run again."""

from runtime.demo_records import Caller

_RULE = "Website, in turn"
_PRODUCTS = (
    ("Seat, a year", "SEAT-1Y", 12_000),
    ("Onboarding, a day", "ONBOARD", 95_000),
    ("Support", "SUPPORT", 240_000),
)


def add(owner: Caller, pipeline_id: str) -> None:
    """Add both, where they are not there yet."""
    if not owner.items("/v1/distribution-rules"):
        _distribute(owner, pipeline_id)
    if not owner.items("/v1/products"):
        _sell(owner, pipeline_id)


def _distribute(owner: Caller, pipeline_id: str) -> None:
    reps = [user for user in owner.items("/v1/users") if user["role"] == "rep" and user["is_active"]]
    if not reps:
        return
    members = [{"user_id": rep["id"], "capacity": 200} for rep in reps]
    rule = {"name": _RULE, "pipeline_id": pipeline_id, "source": "Website", "members": members, "is_automatic": True}
    owner.call("POST", "/v1/distribution-rules", json=rule)
    for number in range(1, 5):
        body = {
            "pipeline_id": pipeline_id,
            "title": f"Asked on the website {number}",
            "source": "Website",
            "tags": ["inbound"],
        }
        owner.call("POST", "/v1/deals", json=body)


def _sell(owner: Caller, pipeline_id: str) -> None:
    made = [
        owner.call(
            "POST", "/v1/products", json={"name": name, "code": code, "unit_price_minor": price, "currency": "EUR"}
        )
        for name, code, price in _PRODUCTS
    ]
    deals = owner.items("/v1/deals", pipeline_id=pipeline_id, status="open", limit=8)
    for number, deal in enumerate(one for one in deals if one["currency"] == "EUR"):
        items = [
            {"product_id": made[0]["id"], "quantity": str(20 + 5 * number), "discount_percent": "7.5"},
            {"product_id": made[1 + number % 2]["id"], "quantity": "1.5"},
        ]
        headers = {"If-Match": f'"{deal["version"]}"'}
        owner.call("PUT", f"/v1/deals/{deal['id']}/line-items", json={"items": items}, headers=headers)
