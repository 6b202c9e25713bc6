"""Activities: notes, and calls and meetings that people log. What was said stays in PostgreSQL.

`/v1/notes` and `/v1/activities` are two doors to one kind of row, so that a record's timeline and the figures know of
both.
"""
