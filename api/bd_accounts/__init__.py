"""Accounts through which people are written to: mailboxes, Telegram numbers, profiles at X and LinkedIn.

What an account may do follows from its state and from what its provider let it feel. One connector at a time holds it.
"""
