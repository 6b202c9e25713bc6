"""Drafts that a language model writes."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_TABLE = f"""
create table drafts ({AGGREGATE_COLUMNS},
    request_key text not null,
    kind text not null check (kind in ('reply', 'next_action', 'summary')),
    state text not null check (
        state in ('generating', 'failed', 'generated', 'edited', 'approved', 'rejected', 'sent')
    ),
    conversation_id uuid,
    deal_id uuid,
    author_id uuid,
    prompt text not null,
    model text not null,
    inputs_hash text not null,
    cited text[] not null,
    action text,
    written text not null,
    text text not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cost_micro bigint not null,
    approved_by uuid,
    approved_hash text,
    approved_at timestamptz,
    message_id uuid,
    failure text,
    constraint uq_drafts_request_key unique (organization_id, request_key)
);
create index ix_drafts_conversation on drafts (organization_id, conversation_id, id);
create index ix_drafts_deal on drafts (organization_id, deal_id, id);
create index ix_drafts_created on drafts (organization_id, created_at);
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("drafts"),
        belongs_to("drafts", "conversation_id", references="conversations"),
        belongs_to("drafts", "deal_id", references="deals"),
        belongs_to("drafts", "author_id", references="users"),
        belongs_to("drafts", "approved_by", references="users"),
        belongs_to("drafts", "message_id", references="messages"),
    ]
)


def upgrade() -> None:
    """Apply."""
    for part in (_TABLE, _RELATIONS, protect("drafts", grants="select, insert, update")):
        op.execute(part)


def downgrade() -> None:
    """Drop them."""
    op.execute("drop table drafts")
