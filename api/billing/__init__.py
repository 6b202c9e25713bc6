"""Plans, seats and invoices. Stripe is the truth of money: we keep what it said last, and never a card.

What it tells us by webhook only says where to look: the object's present state is fetched, so that late, doubled and
disordered deliveries end in the provider's state.
"""
