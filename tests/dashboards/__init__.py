"""Tests of the dashboards: pages against a small double of the API, which serves the shapes of the real one."""
