"""Imports: files of another system's records become records and events here, in bulk, safely repeated.

`source` reads a file (`encodings`, `shape`), `headings` finds its columns (`vendors`), `prepare` checks its values
(`values`, `moments`, `amounts`, `rows`) after `column_notes` has judged each column as a whole, `plan` cuts the work
into transactions, the writers (`…_rows`) turn rows into commands to other slices' rules, `job` runs one import from its
first step to its last. No rule of a record lives here.
"""
