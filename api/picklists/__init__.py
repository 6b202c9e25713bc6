"""Picklists: the values that an organization chooses from. Events carry a value's id, people see its label."""
