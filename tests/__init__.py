"""Tests: one folder per room, real servers, behaviour that a user would notice."""
