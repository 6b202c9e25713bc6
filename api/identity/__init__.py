"""People, their sign-ins and their membership in organizations.

A person proves an e-mail address by a password and may be a user of several organizations. Nobody takes an address
from its owner by registering it first: the address alone identifies nobody, address and password do.
"""
