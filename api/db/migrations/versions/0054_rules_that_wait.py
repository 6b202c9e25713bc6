"""What rules wait behind: the newest of several events in a row; and the figures that their conditions name."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None

_TABLES = f"""
create table rule_waits ({ROW_COLUMNS},
    rule_id uuid not null,
    subject_type text not null,
    subject_id uuid not null,
    event_id uuid not null,
    due_at timestamptz not null,
    constraint uq_rule_waits_subject unique (organization_id, rule_id, subject_id)
);
create index ix_rule_waits_due on rule_waits (organization_id, due_at);

create table rule_figures ({ROW_COLUMNS},
    digest text not null check (length(digest) = 64),
    value double precision,
    checked_at timestamptz not null
);
create index ix_rule_figures_digest on rule_figures (organization_id, digest, created_at);
"""


def upgrade() -> None:
    """Make the tables."""
    for part in (
        _TABLES,
        belongs_to_organization("rule_waits"),
        belongs_to("rule_waits", "rule_id", references="rules"),
        protect("rule_waits"),
        belongs_to_organization("rule_figures"),
        protect("rule_figures", grants="select, insert, update"),
    ):
        op.execute(part)


def downgrade() -> None:
    """Drop them."""
    op.execute("drop table rule_waits, rule_figures")
