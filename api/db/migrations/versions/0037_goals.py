"""Goals: what people, teams and the organization are to win."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

_TABLE = f"""
create table goals ({AGGREGATE_COLUMNS},
    user_id uuid,
    team_id uuid,
    measure text not null check (measure in ('won_amount', 'deals_won')),
    starts_on date not null,
    ends_on date not null check (ends_on > starts_on),
    target bigint not null check (target > 0),
    currency text check ((currency is not null) = (measure = 'won_amount')),
    deleted_at timestamptz,
    check (user_id is null or team_id is null)
);
create index ix_goals_starts_on on goals (organization_id, starts_on, id);
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("goals"),
        belongs_to("goals", "user_id", references="users"),
        belongs_to("goals", "team_id", references="teams"),
    ]
)


def upgrade() -> None:
    """Make the table."""
    for part in (_TABLE, _RELATIONS, protect("goals")):
        op.execute(part)


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table goals")
