"""The recycle bin: what was deleted stays there for 90 days and can be restored; then the worker takes it out.

Restoring is the affair of each slice's rules, and an event. What is taken out leaves an id where others refer to it.
"""
