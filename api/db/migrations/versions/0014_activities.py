"""Activities: notes, calls and meetings."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TABLES = f"""
create table activities ({AGGREGATE_COLUMNS},
    kind text not null check (kind in ('note', 'call', 'meeting')),
    subject text check (length(subject) <= 200),
    body text check (length(body) <= 20000),
    took_place_at timestamptz not null,
    duration_seconds bigint check (duration_seconds >= 0),
    direction text check (direction in ('in', 'out')),
    author_id uuid,
    mentions uuid[] not null default '{{}}',
    deal_id uuid,
    contact_id uuid,
    company_id uuid,
    deleted_at timestamptz
);
create index ix_activities_author on activities (organization_id, author_id, id) where deleted_at is null;
create index ix_activities_mentions on activities using gin (mentions);
create index ix_activities_deal on activities (organization_id, deal_id, took_place_at, id) where deal_id is not null;
create index ix_activities_contact on activities (organization_id, contact_id, took_place_at, id)
    where contact_id is not null;
create index ix_activities_company on activities (organization_id, company_id, took_place_at, id)
    where company_id is not null;
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("activities"),
        belongs_to("activities", "author_id", references="users"),
        belongs_to("activities", "deal_id", references="deals"),
        belongs_to("activities", "contact_id", references="contacts"),
        belongs_to("activities", "company_id", references="companies"),
    ]
)


def upgrade() -> None:
    """Apply."""
    for part in (_TABLES, _RELATIONS, protect("activities", grants="select, insert, update")):
        op.execute(part)


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table activities")
