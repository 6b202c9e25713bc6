"""Exchange rates by day: what one unit of an organization's base currency cost in others, set by hand or from the ECB.

A day's rates are one record; figures read them from its events, as they were known at each instant.
"""
