"""Tables, one module each. A row's rules live in its slice; relationships between tables are never walked lazily.

Every tenant table uses `api.models.base.TenantRow` (or `Aggregate`, when events describe it).
"""
