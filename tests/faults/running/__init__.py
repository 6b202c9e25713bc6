"""Tests of one running spine: all processes, started once, whole again before each test."""
