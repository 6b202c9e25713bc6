"""Scores of deals and of leads (contacts that no deal names yet): models come with their cards as shadows, are promoted
and rolled back, and write what they foretell.

Nothing is computed here: training and scoring read the warehouse and write through these routes.
"""
