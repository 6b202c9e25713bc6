"""The edge: what surrounds requests."""
