"""The meaning of every number: one definition per metric, one compiler to SQL, one query path over published marts.

The API, dashboards, exports and rules all answer through `metrics.query`; nothing here writes a mart or knows HTTP.
`publication` and `status` fix the layout that the publisher (orchestration) and the reader share.
"""
