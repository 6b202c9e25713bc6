"""Accounts, conversations, messages and their sends."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_CHANNEL = "channel text not null check (channel in ('email', 'telegram', 'x', 'linkedin'))"

# epoch: which connector holds the account, growing with every one; a lower number is one that lost it
_ACCOUNTS = f"""
create table bd_accounts ({AGGREGATE_COLUMNS},
    {_CHANNEL},
    name text not null check (length(name) between 1 and 120),
    address text not null check (length(address) between 1 and 320),
    state text not null check (state in ('connecting', 'active', 'limited', 'flood_wait', 'banned', 'revoked')),
    reason text,
    until timestamptz,
    user_id uuid,
    team_id uuid,
    daily_limit bigint not null check (daily_limit between 0 and 100000),
    settings jsonb not null,
    secret bytea,
    connected_at timestamptz,
    epoch bigint not null default 0,
    lease_holder text,
    lease_until timestamptz,
    cursor jsonb not null default '{{}}'
);
create unique index uq_bd_accounts_address on bd_accounts (organization_id, channel, lower(address))
    where state <> 'revoked';

create table bd_account_assignments ({ROW_COLUMNS},
    account_id uuid not null,
    user_id uuid,
    team_id uuid,
    started_at timestamptz not null,
    ended_at timestamptz check (ended_at >= started_at)
);
create unique index uq_bd_account_assignments_present on bd_account_assignments (organization_id, account_id)
    where ended_at is null;

-- what the provider let an account feel: flood waits, blocks, restrictions, replies
create table bd_account_signs ({ROW_COLUMNS},
    account_id uuid not null,
    kind text not null check (length(kind) between 1 and 40),
    seconds bigint
);
create index ix_bd_account_signs_account on bd_account_signs (organization_id, account_id, created_at);
"""

_CONVERSATIONS = f"""
create table conversations ({AGGREGATE_COLUMNS},
    account_id uuid not null,
    {_CHANNEL},
    thread_key text not null check (length(thread_key) between 1 and 1000),
    subject text check (length(subject) <= 1000),
    address text not null check (length(address) between 1 and 320),
    status text not null check (status in ('open', 'snoozed', 'closed')),
    snoozed_until timestamptz,
    contact_id uuid,
    deal_id uuid,
    assignee_id uuid,
    team_id uuid,
    labels text[] not null default '{{}}',
    unread_count bigint not null default 0 check (unread_count >= 0),
    last_message_at timestamptz not null,
    last_direction text not null check (last_direction in ('in', 'out'))
);
create unique index uq_conversations_thread on conversations (organization_id, account_id, thread_key);
create index ix_conversations_list on conversations (organization_id, last_message_at, id);
create index ix_conversations_assignee on conversations (organization_id, assignee_id, last_message_at, id);
create index ix_conversations_contact on conversations (organization_id, contact_id) where contact_id is not null;
create index ix_conversations_deal on conversations (organization_id, deal_id) where deal_id is not null;
create index ix_conversations_snoozed on conversations (snoozed_until) where status = 'snoozed';

create table messages ({AGGREGATE_COLUMNS},
    conversation_id uuid not null,
    account_id uuid not null,
    direction text not null check (direction in ('in', 'out', 'note')),
    kind text not null check (kind in ('message', 'auto_reply', 'bounce')),
    state text not null check (state in ('received', 'queued', 'sending', 'sent', 'failed', 'unknown', 'note')),
    provider_id text check (length(provider_id) between 1 and 1000),
    author_id uuid,
    sender text check (length(sender) <= 640),
    subject text check (length(subject) <= 1000),
    text text not null,
    html text,
    details jsonb not null,
    occurred_at timestamptz not null,
    read_at timestamptz,
    edited_at timestamptz,
    removed_at timestamptz,
    failure text
);
create unique index uq_messages_provider on messages (organization_id, account_id, provider_id)
    where provider_id is not null;
create index ix_messages_conversation on messages (organization_id, conversation_id, occurred_at, id);
create index ix_messages_text on messages using gin (text gin_trgm_ops);

-- what came in, as it came: what we understood of it can be understood anew
create table message_payloads ({ROW_COLUMNS},
    message_id uuid not null,
    payload jsonb not null
);
create index ix_message_payloads_message on message_payloads (organization_id, message_id);

create table sends ({ROW_COLUMNS},
    message_id uuid not null,
    account_id uuid not null,
    state text not null check (state in ('queued', 'sending', 'sent', 'failed', 'unknown')),
    source text not null,
    source_id uuid,
    address text not null check (length(address) between 1 and 320),
    not_before timestamptz not null,
    attempts bigint not null default 0,
    epoch bigint,
    claimed_at timestamptz,
    finished_at timestamptz,
    failure text
);
create unique index uq_sends_message on sends (organization_id, message_id);
create index ix_sends_waiting on sends (organization_id, account_id, not_before, id) where state = 'queued';
create index ix_sends_underway on sends (organization_id, account_id) where state = 'sending';
create index ix_sends_unknown on sends (organization_id, id) where state = 'unknown';
create index ix_sends_day on sends (organization_id, account_id, claimed_at);

-- whose addresses are known, also where no contact has them in a field
create table channel_identities ({ROW_COLUMNS},
    {_CHANNEL},
    address text not null check (length(address) between 1 and 320),
    contact_id uuid not null
);
create unique index uq_channel_identities_address on channel_identities (organization_id, channel, lower(address));

-- addresses that nothing is sent to: they bounced, or asked for it
create table suppressions ({ROW_COLUMNS},
    {_CHANNEL},
    address text not null check (length(address) between 1 and 320),
    reason text not null check (length(reason) between 1 and 60)
);
create unique index uq_suppressions_address on suppressions (organization_id, channel, lower(address));

create table canned_replies ({ROW_COLUMNS},
    title text not null check (length(title) between 1 and 120),
    text text not null check (length(text) between 1 and 10000),
    created_by uuid
);
"""

_TABLES = (
    "bd_accounts",
    "bd_account_assignments",
    "bd_account_signs",
    "conversations",
    "messages",
    "message_payloads",
    "sends",
    "channel_identities",
    "suppressions",
    "canned_replies",
)

_RELATIONS = "".join(
    [
        belongs_to_organization("bd_accounts"),
        belongs_to("bd_accounts", "user_id", references="users"),
        belongs_to("bd_accounts", "team_id", references="teams"),
        belongs_to("bd_account_assignments", "account_id", references="bd_accounts"),
        belongs_to("bd_account_assignments", "user_id", references="users"),
        belongs_to("bd_account_assignments", "team_id", references="teams"),
        belongs_to("bd_account_signs", "account_id", references="bd_accounts"),
        belongs_to("conversations", "account_id", references="bd_accounts"),
        belongs_to("conversations", "contact_id", references="contacts"),
        belongs_to("conversations", "deal_id", references="deals"),
        belongs_to("conversations", "assignee_id", references="users"),
        belongs_to("conversations", "team_id", references="teams"),
        belongs_to("messages", "conversation_id", references="conversations"),
        belongs_to("messages", "account_id", references="bd_accounts"),
        belongs_to("messages", "author_id", references="users"),
        belongs_to("message_payloads", "message_id", references="messages"),
        belongs_to("sends", "message_id", references="messages"),
        belongs_to("sends", "account_id", references="bd_accounts"),
        belongs_to("channel_identities", "contact_id", references="contacts"),
        belongs_to_organization("suppressions"),
        belongs_to("canned_replies", "created_by", references="users"),
    ]
)

# the worker wakes snoozed conversations of all organizations
_WORKER = """
create policy worker on conversations to sluice_worker using (true);
grant select (organization_id, id, status, snoozed_until) on conversations to sluice_worker;
"""


def upgrade() -> None:
    """Apply."""
    for part in (_ACCOUNTS, _CONVERSATIONS, _RELATIONS, *(protect(table) for table in _TABLES), _WORKER):
        op.execute(part)


def downgrade() -> None:
    """Drop all of it."""
    for table in reversed(_TABLES):
        op.execute(f"drop table {table}")
