"""Dagster definitions, one concept per module. `orchestration.definitions` joins them."""
