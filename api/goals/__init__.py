"""Goals: what a person, a team or the organization is to win in a month or a quarter. Figures compare."""
