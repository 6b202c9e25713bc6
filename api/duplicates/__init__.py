"""Duplicates of contacts and companies: found by what two records share, merged into one, and told apart again.

What is the same beyond doubt (an address, a number, a domain, a name at one company) is one thing, what merely looks
alike another: a suggestion. `references` lists what points at a contact or a company; a merge moves all of it.
"""
