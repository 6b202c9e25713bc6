"""Tests of sign-in, users, teams, organizations and picklists."""
