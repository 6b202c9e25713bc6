"""Organizations: the tenant's name, zone, calendar and currency."""
