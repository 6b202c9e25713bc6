"""Deals: what is sold, and its path through the stages of one pipeline.

`rules` says what a command makes of a deal, `backfill` what the rows of a file make of one; both work on a deal's
`state`, whose values are `timeline`s. `records` loads what they read and writes what they decided.
"""
