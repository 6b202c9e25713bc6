"""HTTP around the slices: routes and their transactions, callers, idempotency, problems, pages, telemetry, tokens.

No rule of a slice and no table. What a job or a worker needs as well lives in `api.kernel`.
"""
