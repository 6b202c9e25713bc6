"""What dbt writes: running it, who may write, what is new in raw, and the checks of what was built.

`parts` brings groups of models up to date; `dbt` runs dbt itself. Nothing here is seen by readers: that is `publish`.
"""
