"""A Stripe to test against: the part of its API that billing uses, with state, a clock of its own and webhooks.

Written from Stripe's public API reference; `test_spec.py` holds its answers against the official OpenAPI document.
"""
