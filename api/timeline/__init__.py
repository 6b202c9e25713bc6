"""The one timeline of a record: what was noted, done and is to be done about it, and how it changed, newest first."""
