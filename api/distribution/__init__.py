"""Distribution: who gets a new deal.

Rules are tried in order; the first that fits the deal's pipeline and source decides.

`rules` chooses, pure; `records` holds the rule's row while it does, so that of deals made at once each has its turn.
"""
