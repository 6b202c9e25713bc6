"""Drafts: a language model proposes, a person decides, and only what that person approved is ever sent.

The model has no tools and acts on nothing. What strangers wrote is given to it as data; whatever it answers is a text
to look at, without links that are not allowed, and a text that repeats its instructions is thrown away.
"""
