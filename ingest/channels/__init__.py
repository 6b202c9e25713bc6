"""Channel connectors: processes that speak with providers, and with the API alone on our side, by a service key.

`runner` finds the accounts of an organization and holds each by a lease; one module per channel speaks its protocol.
What came in is handed in before it counts as read, so a killed connector loses nothing; what it was sending is settled
by the API when the next one asks.
"""
