"""Files on deals, contacts, companies, notes, calls and messages.

Content lies in a folder of the organization by its hash (`content`), PostgreSQL knows what it is called and about.
Content without a row goes after a day (`worker`); a row never points to content that was not stored whole.
"""
