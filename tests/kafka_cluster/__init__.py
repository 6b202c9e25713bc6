"""A real Apache Kafka for tests: three brokers on loopback, each a JVM that a test may kill, stop and start again.

Needs Java and, once, Maven for the jars. What the cluster is for is in tests/ingest and tests/bus.
"""
