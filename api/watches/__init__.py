"""Watches: figures that people keep an eye on. What a publication changes is recorded as an event of ids and numbers;
a threshold is an alarm, once per crossing; a digest tells all of a person's figures in one mail.

A watch is its author's: it counts what they see, with the rights that they have at that moment. `rules` is pure; the
worker asks the warehouse, never within a transaction.
"""
