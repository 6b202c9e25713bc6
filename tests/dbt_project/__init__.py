"""Tests of the dbt project: on real warehouses of both kinds, against a replay in plain Python."""
