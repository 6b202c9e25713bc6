"""Campaigns, their recipients and each step for each of them; consents; hours in which a send may go."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_TABLES = f"""
create table campaigns ({AGGREGATE_COLUMNS},
    name text not null check (length(name) between 1 and 120),
    state text not null check (state in ('draft', 'running', 'paused', 'completed', 'cancelled')),
    owner_id uuid not null,
    legal_basis text check (legal_basis in ('consent', 'contract', 'legitimate_interest')),
    basis_note text check (length(basis_note) <= 2000),
    view_id uuid,
    filter jsonb not null,
    account_ids uuid[] not null,
    steps jsonb not null,
    hours jsonb not null,
    pace jsonb not null,
    stops_company boolean not null,
    away_days bigint not null check (away_days between 1 and 60),
    started_at timestamptz,
    ended_at timestamptz,
    -- nobody is written to without a ground
    constraint ck_campaigns_legal_basis check (state = 'draft' or state = 'cancelled' or legal_basis is not null)
);
create index ix_campaigns_running on campaigns (organization_id, id) where state = 'running';

create table campaign_recipients ({AGGREGATE_COLUMNS},
    campaign_id uuid not null,
    contact_id uuid not null,
    company_id uuid,
    deal_id uuid,
    state text not null check (state in ('waiting', 'under_way', 'ended', 'excluded')),
    ending text,
    reason text check (length(reason) <= 60),
    step bigint not null check (step >= 1),
    -- of whoever waits: when the next step's turn comes
    due_at timestamptz,
    touch_id uuid,
    replied_at timestamptz,
    ended_at timestamptz
);
create unique index uq_campaign_recipients_contact on campaign_recipients (organization_id, campaign_id, contact_id);
create index ix_campaign_recipients_due on campaign_recipients (organization_id, campaign_id, due_at)
    where state = 'waiting';
create index ix_campaign_recipients_contact on campaign_recipients (organization_id, contact_id);
create index ix_campaign_recipients_company on campaign_recipients (organization_id, company_id)
    where company_id is not null;

create table campaign_touches ({ROW_COLUMNS},
    campaign_id uuid not null,
    recipient_id uuid not null,
    step bigint not null check (step >= 1),
    variant text not null check (length(variant) between 1 and 20),
    state text not null check (state in ('queued', 'sent', 'failed', 'unknown', 'held_out', 'skipped')),
    channel text check (channel in ('email', 'telegram')),
    account_id uuid,
    conversation_id uuid,
    message_id uuid,
    task_id uuid,
    failure text check (length(failure) <= 60),
    sent_at timestamptz
);
-- one step reaches somebody once at most
create unique index uq_campaign_touches_step on campaign_touches (organization_id, recipient_id, step);
create unique index uq_campaign_touches_message on campaign_touches (organization_id, message_id)
    where message_id is not null;
create index ix_campaign_touches_campaign on campaign_touches (organization_id, campaign_id, created_at);
create index ix_campaign_touches_conversation on campaign_touches (organization_id, conversation_id)
    where conversation_id is not null;

create table consents ({ROW_COLUMNS},
    contact_id uuid not null,
    source text not null check (length(source) between 1 and 200),
    given_at timestamptz not null,
    withdrawn_at timestamptz,
    noted_by uuid
);
create index ix_consents_contact on consents (organization_id, contact_id);

-- the hours in which it may go, where those matter; looked at in the transaction that claims it
alter table sends add column hours jsonb;

-- addresses of one mailbox: capitals and tags tell nobody apart
create function mailbox(address text) returns text language sql immutable strict parallel safe
    return regexp_replace(lower(address), '\\+[^@]*@', '@');
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("campaigns"),
        belongs_to("campaigns", "owner_id", references="users"),
        belongs_to("campaign_recipients", "campaign_id", references="campaigns"),
        belongs_to("campaign_recipients", "contact_id", references="contacts"),
        belongs_to("campaign_recipients", "company_id", references="companies"),
        belongs_to("campaign_recipients", "deal_id", references="deals"),
        belongs_to("campaign_touches", "campaign_id", references="campaigns"),
        belongs_to("campaign_touches", "recipient_id", references="campaign_recipients"),
        belongs_to("campaign_touches", "account_id", references="bd_accounts"),
        belongs_to("campaign_touches", "conversation_id", references="conversations"),
        belongs_to("campaign_touches", "message_id", references="messages"),
        belongs_to("consents", "contact_id", references="contacts"),
        belongs_to("consents", "noted_by", references="users"),
    ]
)

# the worker sees of all organizations whose turn has come, and which messages and people are a campaign's; what comes
# of that it writes inside the organization
_WORKER = """
create policy worker on campaigns for select to sluice_worker using (true);
grant select (organization_id, id, state) on campaigns to sluice_worker;
create policy worker on campaign_recipients for select to sluice_worker using (true);
grant select (organization_id, id, campaign_id, contact_id, state, due_at) on campaign_recipients to sluice_worker;
create policy worker on campaign_touches for select to sluice_worker using (true);
grant select (organization_id, id, recipient_id, message_id, conversation_id) on campaign_touches to sluice_worker;
"""

_NAMES = ("campaigns", "campaign_recipients", "campaign_touches", "consents")


def upgrade() -> None:
    """Make the tables; PostgreSQL adds a column that may be null without touching rows."""
    for part in (_TABLES, _RELATIONS, *(protect(name) for name in _NAMES), _WORKER):
        op.execute(part)


def downgrade() -> None:
    """Drop them."""
    op.execute("drop function mailbox(text)")
    op.execute("alter table sends drop column hours")
    for name in reversed(_NAMES):
        op.execute(f"drop table {name}")
