"""Meters of what customers use, and reports to them: each identifier counts once, while it is known."""

import time

from tests.stripe_server.account import Object, RefusedError, StripeAccount

_EVENT = "billing.meter_event"


def make_meter(account: StripeAccount, fields: Object) -> Object:
    """A meter."""
    if any(one["event_name"] == fields["event_name"] for one in account.all("billing.meter")):
        raise RefusedError("An active meter already uses this event_name.", "event_name")
    return account.make(
        "mtr_test", "billing.meter", display_name=fields["display_name"], event_name=fields["event_name"],
        customer_mapping={"event_payload_key": "stripe_customer_id", "type": "by_id"}, event_time_window=None,
        default_aggregation={"formula": fields["default_aggregation"]["formula"]}, status="active",
        status_transitions={"deactivated_at": None}, updated=account.now, value_settings={"event_payload_key": "value"},
    )  # fmt: skip


def report(account: StripeAccount, fields: Object) -> Object:
    """A report of use. The account's clock runs ahead of ours: used then is what was used now."""
    meters = [one for one in account.all("billing.meter") if one["event_name"] == fields["event_name"]]
    if not meters:
        raise RefusedError("No active meter found for event name.", "event_name")
    customer, known = account.find(fields["payload"]["stripe_customer_id"], "customer"), account.all(_EVENT)
    if account.knows_identifiers and any(one["identifier"] == fields["identifier"] for one in known):
        raise RefusedError("An event already exists with this identifier.", "identifier", code="duplicate_meter_event")
    at, now = int(fields["timestamp"]), int(time.time())
    if not now - 35 * 86_400 <= at <= now + 300:
        raise RefusedError("The timestamp must be within the past 35 days or up to 5 minutes ahead.", "timestamp")
    value = int(fields["payload"]["value"])
    account.used.append((customer["id"], meters[0]["id"], at + account.now - now, value))
    return account.make(
        "me", _EVENT, event_name=fields["event_name"], identifier=fields["identifier"],
        payload=fields["payload"], timestamp=at,
    )  # fmt: skip


def sum_up(account: StripeAccount, fields: Object, meter_id: str) -> Object:
    """What a meter has of a customer between two instants of ours."""
    meter = account.find(meter_id, "billing.meter")
    since, until = int(fields["start_time"]), int(fields["end_time"])
    if since % 60 or until % 60:
        raise RefusedError("Must be aligned with minute boundaries.", "start_time")
    values = [
        int(one["payload"]["value"])
        for one in account.all(_EVENT)
        if one["event_name"] == meter["event_name"] and since <= one["timestamp"] < until
        and one["payload"]["stripe_customer_id"] == fields["customer"]
    ]  # fmt: skip
    found = {
        "id": f"mtrusg_{since}", "object": "billing.meter_event_summary", "aggregated_value": sum(values),
        "start_time": since, "end_time": until, "livemode": False, "meter": meter["id"],
    }  # fmt: skip
    url = f"/v1/billing/meters/{meter_id}/event_summaries"
    return {"object": "list", "data": [found] if values else [], "has_more": False, "url": url}
