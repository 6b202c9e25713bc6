"""Deals: what is sold, and its path through the stages of one pipeline.

`stage_path` holds the pure rules of order, `move` the changes of stage, `service` everything else; each change is one
event per kind, written with the row in the request's transaction.
"""
