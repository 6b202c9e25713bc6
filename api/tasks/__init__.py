"""Tasks: what is to be done, by whom and by when, about which records. Texts stay in PostgreSQL; events carry ids.

`rules` is pure and serves requests, rules of automation and imports alike; `recurrence` says when a task comes again.
"""
