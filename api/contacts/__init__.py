"""Contacts: the people at companies. Everything that names them stays in PostgreSQL; events carry ids alone."""
