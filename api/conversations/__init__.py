"""Conversations: messages of theirs and ours through every channel, and the sends of ours. Texts stay in PostgreSQL.

`inbound` takes in what connectors saw, once. `sending.queue_message` is the one door for whatever is to be sent, by a
person, a draft, a campaign or a rule; a connector claims it and says what became of it.
"""
