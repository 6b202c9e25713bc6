"""Imports: files of another system's records become records and events here, in bulk, safely repeated.

`source` reads a file, `prepare` checks its values, `steps` cuts the work into transactions, the writers (`people`,
`pipeline_writer`, `relations`, `deals`) turn rows into records and events, `job` runs one import from its first step to
its last. No rule of a deal's path lives in SQL: `timeline` holds them, pure.
"""
