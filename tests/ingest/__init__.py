"""Tests of the relay, the loader and their repairs."""
