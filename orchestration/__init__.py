"""When and in which order: Dagster around ingest's raw events, the dbt project and the published versions.

No rule of the business lives here. Assets are thin (`defs/`); the work is plain functions in the modules beside them,
which a test can call. `refresh` is the loop that keeps the marts fresh, `serve` starts Dagster's own processes.
"""
