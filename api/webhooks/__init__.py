"""Webhooks out, by Standard Webhooks: events are sent to addresses that an organization names, each signed.

An event becomes one delivery per webhook that wants it, exactly once; a delivery is sent at least once, always with
the same `webhook-id`, by which a receiver knows one that came twice. Order is not promised.
"""
