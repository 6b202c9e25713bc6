"""Backup and restore of PostgreSQL, embedded or not: base backups, archived write-ahead log, recovery to an instant.

PostgreSQL's own tools do the work. Kafka and the warehouse are not backed up: they are made anew from PostgreSQL.
"""
