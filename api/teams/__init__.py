"""Teams: a tree per organization, each with a manager and members. A user is in at most one team at a time."""
