"""Moves events: the relay from PostgreSQL to Kafka, the loader from Kafka into the warehouse's raw relation.

Also their repairs: `reconcile` compares the two ends, `rebuild` makes raw anew. Nothing here reads what an event means.
"""
