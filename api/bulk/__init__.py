"""Bulk changes: one action on all deals of a filter, done by the worker in small transactions, and taken back.

Each deal is changed by the action that rules of automation have, so by the rules that requests obey; what fails is said
of that deal alone. Undoing restores the deals that nobody changed since, and says which it left.
"""
