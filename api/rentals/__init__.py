"""Accounts of the operator's that organizations buy or rent: the ledger of who had which, for how much and how long.

An order is a saga, done step by step by the worker: reserve, charge, hand over; what cannot go on is undone, step by
step. Each step is known to both sides by the rental's id, so repeating it after a crash is doing it once.
"""
