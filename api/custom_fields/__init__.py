"""Custom fields: what an organization adds to its contacts, companies and deals. Values are `api.kernel.custom`'s."""
