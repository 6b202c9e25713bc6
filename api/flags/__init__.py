"""Feature flags of an organization, which its owners turn on and off. `api/edge/flags.py` asks them."""
