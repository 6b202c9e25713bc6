"""Servers that come as Python wheels, so that one machine with python3 can run everything: PostgreSQL and a broker."""
