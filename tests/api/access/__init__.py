"""Tests of who gets in: keys, sessions, second factors, limits, permissions, and the log of it."""
