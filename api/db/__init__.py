"""The database's own affairs: roles, migrations, tenancy, sessions and transactions. The only place that commits."""
