"""Exports: whole lists as files, in the columns that an import reads. Nothing is cut off, little is held in memory."""
