"""Models that score deals, and their scores."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_TABLES = f"""
create table score_models ({ROW_COLUMNS},
    number bigint not null check (number > 0),
    state text not null check (state in ('shadow', 'promoted', 'retired')),
    artefact text not null check (length(artefact) <= 20000000),
    sha256 text not null check (length(sha256) = 64),
    card jsonb not null,
    data_version text not null check (length(data_version) <= 100),
    code_version text not null check (length(code_version) <= 100),
    horizon_days bigint not null check (horizon_days between 1 and 3650),
    promoted_at timestamptz,
    constraint uq_score_models_number unique (organization_id, number)
);
create unique index uq_score_models_promoted on score_models (organization_id) where state = 'promoted';
create table scores ({ROW_COLUMNS},
    deal_id uuid not null,
    model_id uuid not null,
    score double precision not null check (score between 0 and 1),
    reasons jsonb not null,
    scored_at timestamptz not null
);
create index ix_scores_deal on scores (organization_id, deal_id, id);
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("score_models"),
        belongs_to_organization("scores"),
        belongs_to("scores", "deal_id", references="deals"),
        belongs_to("scores", "model_id", references="score_models"),
    ]
)


def upgrade() -> None:
    """Apply."""
    for part in (
        _TABLES,
        _RELATIONS,
        protect("score_models", grants="select, insert, update"),
        protect("scores", grants="select, insert"),
    ):
        op.execute(part)


def downgrade() -> None:
    """Drop them."""
    op.execute("drop table scores; drop table score_models")
