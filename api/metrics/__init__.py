"""`/v1/metrics` and `/v1/freshness`: the metrics room over HTTP.

What a number means is decided in `metrics/`; here are the caller's scope, names for ids, and how far the warehouse is
behind PostgreSQL.
"""
