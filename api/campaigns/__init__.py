"""Campaigns: people of a saved view are written to step by step, until they answer, want no more, or all is said.

`rules` decides what becomes of a campaign, `journeys` of each recipient; `sequence` has the next step go to whoever's
turn it is, `hearing` learns what came of it. What goes out is queued with `api.conversations`; nothing is sent here.
"""
