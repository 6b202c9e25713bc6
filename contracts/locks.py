"""PostgreSQL's advisory locks: every number and name that a process of ours takes, so that no two mean one by two.

A number alone is `pg_advisory_lock(number)`; a class has a second number of 32 bits behind it. A name or a seed goes
through `hashtextextended(name, seed)`. Migrations, which are never edited, say theirs themselves: (7_221_195, 0).
"""

# of the database of the CRM
PREPARE_DATABASE = 7_221_190_001
MIGRATE = 7_221_190_002

#: Classes: which relay publishes which shard; who the relays are; a batch is under way (shared) or must not be.
RELAY_SHARDS = 7_221_191
RELAYS = 7_221_192
RELAY_GATE = 7_221_193
#: Class: rebuild, repair and comparison of raw, one at a time.
REWRITE_RAW = 7_221_196

#: Classes, each with a hash of the consumer's name: who consumes; an event is consumed (shared) or the lease goes over.
CONSUMERS = 7_221_197
CONSUMER_GATE = 7_221_198
#: Class, with a hash of a rule's id: who counts its firings near its quota.
RULE_QUOTA = 7_221_199

#: Seeds, of an import's id and of an organization's: who works on the import, and one import of it at a time.
IMPORT_JOB_SEED = 7_221_190_002
IMPORTS_SEED = 7_221_190_003
#: Names, each followed by what is held: the key of a sign-up, the organization whose tree of teams changes.
SIGN_UP = "sign-up:"
TEAMS = "teams:"

# of a warehouse in PostgreSQL
SET_UP_RAW = 7_221_194
BUILD = "sluice.build"
PIPELINE_STATUS = "sluice.pipeline_status"
