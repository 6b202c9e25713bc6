"""The audit log as administrators read it. Entries are written by `api.kernel.auditing`, beside what they tell of."""
