"""Global search: contacts, companies and deals that somebody sees, by words in any order, with typos, or by digits."""
