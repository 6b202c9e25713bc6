"""Meters of what customers use, and reports to them: each identifier counts once."""

from tests.stripe_server.account import Object, RefusedError, StripeAccount


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
    """A report of use."""
    if all(one["event_name"] != fields["event_name"] for one in account.all("billing.meter")):
        raise RefusedError("No active meter found for event name.", "event_name")
    account.find(fields["payload"]["stripe_customer_id"], "customer")
    if any(one["identifier"] == fields["identifier"] for one in account.all("billing.meter_event")):
        raise RefusedError("An event already exists with this identifier.", "identifier", code="duplicate_meter_event")
    return account.make(
        "me", "billing.meter_event", event_name=fields["event_name"], identifier=fields["identifier"],
        payload=fields["payload"], timestamp=int(fields["timestamp"]),
    )  # fmt: skip
