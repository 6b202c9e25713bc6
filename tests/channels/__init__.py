"""Connectors against real servers of their protocols, and the API that they hand things to."""
