"""What people of the demo set up around their deals: who gets new ones, what they sell. Safe to run again."""

from contracts.calls import deals, distribution, products, users
from contracts.calls.schemas import DealCreate, DistributionRuleCreate, LineItem
from runtime.demo_records import Caller

_RULE = "Website, in turn"
_PRODUCTS = (
    ("Seat, a year", "SEAT-1Y", 12_000),
    ("Onboarding, a day", "ONBOARD", 95_000),
    ("Support", "SUPPORT", 240_000),
)


def add(owner: Caller, pipeline_id: str) -> None:
    """Add both, where they are not there yet."""
    if not owner.ask(distribution.list_distribution_rules())["items"]:
        _distribute(owner, pipeline_id)
    if not owner.ask(products.list_products())["items"]:
        _sell(owner, pipeline_id)


def _distribute(owner: Caller, pipeline_id: str) -> None:
    reps = owner.ask(users.list_users(role="rep", is_active=True))["items"]
    if not reps:
        return
    rule: DistributionRuleCreate = {
        "name": _RULE,
        "pipeline_id": pipeline_id,
        "source": "Website",
        "members": [{"user_id": rep["id"], "capacity": 200} for rep in reps],
        "is_automatic": True,
    }
    owner.ask(distribution.create_distribution_rule(rule))
    for number in range(1, 5):
        body: DealCreate = {
            "pipeline_id": pipeline_id,
            "title": f"Asked on the website {number}",
            "source": "Website",
            "tags": ["inbound"],
        }
        owner.ask(deals.create_deal(body))


def _sell(owner: Caller, pipeline_id: str) -> None:
    made = [
        owner.ask(products.create_product({"name": name, "code": code, "unit_price_minor": price, "currency": "EUR"}))
        for name, code, price in _PRODUCTS
    ]
    open_ = owner.ask(deals.list_deals(pipeline_id=pipeline_id, status="open", limit=8))["items"]
    for number, deal in enumerate(one for one in open_ if one["currency"] == "EUR"):
        items: list[LineItem] = [
            {"product_id": made[0]["id"], "quantity": str(20 + 5 * number), "discount_percent": "7.5"},
            {"product_id": made[1 + number % 2]["id"], "quantity": "1.5"},
        ]
        owner.ask(deals.set_line_items(deal["id"], {"items": items}, version=deal["version"]))
