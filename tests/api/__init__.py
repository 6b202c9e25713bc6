"""Tests of the API, through HTTP and a real PostgreSQL."""
