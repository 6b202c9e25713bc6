"""Contacts' own data: shown whole, and erased everywhere with a receipt.

What a table knows of contacts is declared in `declared.py`; a test compares it with PostgreSQL's catalogue, so that a
column which nobody declared is noticed. Kafka and the warehouse hold ids and facts alone and need no erasure.
"""
