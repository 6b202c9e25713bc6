"""Alembic environment. Versions are plain SQL, numbered `0001`, `0002`, …; each names its predecessor."""
