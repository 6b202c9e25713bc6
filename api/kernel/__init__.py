"""What the rules and records of every slice stand on: context, errors, the event log, ownership, visibility.

Nothing of HTTP: requests, imports and workers use it alike.
"""
