"""Kafka transport: produce, consume, dead letters, topics. An in-memory twin has the same interface.

Nothing here knows what a message means. The guarantees: records of one key keep their order, a record counts as sent
only when the broker said so, a consumer never skips silently.
"""
