"""Dagster's view of the warehouse: what there is and what became of it (`assets`), and what can be started (`jobs`)."""
