"""Distribution: rules that say who gets a new deal, and what they chose. Products, and lines of deals."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_TABLES = f"""
create table distribution_rules ({AGGREGATE_COLUMNS},
    name text not null check (length(name) between 1 and 120),
    position bigint not null,
    pipeline_id uuid,
    source_id uuid,
    method text not null check (method in ('round_robin', 'weighted', 'least_busy')),
    members jsonb not null,
    working_hours jsonb,
    fallback_user_id uuid,
    is_automatic boolean not null default false,
    is_active boolean not null default true,
    credits jsonb not null default '{{}}'
);
create index ix_distribution_rules_order on distribution_rules (organization_id, position, id);

create table distributions ({ROW_COLUMNS},
    rule_id uuid not null,
    rule_version bigint not null,
    deal_id uuid not null,
    user_id uuid,
    outcome text not null check (outcome in ('assigned', 'fallback', 'queued')),
    facts jsonb not null
);
create index ix_distributions_deal on distributions (organization_id, deal_id, id);
create index ix_distributions_rule on distributions (organization_id, rule_id, id);

create table products ({AGGREGATE_COLUMNS},
    name text not null check (length(name) between 1 and 200),
    code text check (length(code) between 1 and 120),
    unit_price_minor bigint,
    currency text not null,
    is_active boolean not null default true
);
create unique index uq_products_code on products (organization_id, lower(code));

create table deal_lines ({ROW_COLUMNS},
    deal_id uuid not null,
    position bigint not null,
    product_id uuid,
    name text not null check (length(name) between 1 and 200),
    quantity numeric(18, 6) not null check (quantity > 0),
    unit_price_minor bigint not null,
    discount_percent numeric(5, 2) not null check (discount_percent between 0 and 100),
    total_minor bigint not null
);
create index ix_deal_lines_deal on deal_lines (organization_id, deal_id, position);
create index ix_deal_lines_product on deal_lines (organization_id, product_id);
"""
_NAMES = ("distribution_rules", "distributions", "products", "deal_lines")
_RELATIONS = "".join(
    [
        belongs_to_organization("distribution_rules"),
        belongs_to("distribution_rules", "pipeline_id", references="pipelines"),
        belongs_to("distribution_rules", "source_id", references="picklist_values"),
        belongs_to("distribution_rules", "fallback_user_id", references="users"),
        belongs_to_organization("distributions"),
        belongs_to("distributions", "rule_id", references="distribution_rules", on_delete="cascade"),
        belongs_to("distributions", "deal_id", references="deals"),
        belongs_to("distributions", "user_id", references="users"),
        belongs_to_organization("products"),
        belongs_to_organization("deal_lines"),
        belongs_to("deal_lines", "deal_id", references="deals"),
        belongs_to("deal_lines", "product_id", references="products"),
    ]
)
# the amount of a deal with lines is their sum
_FLAG = "alter table deals add column has_lines boolean not null default false"


def upgrade() -> None:
    """Apply."""
    for part in (_TABLES, _RELATIONS, *map(protect, _NAMES), _FLAG):
        op.execute(part)


def downgrade() -> None:
    """Take it back."""
    op.execute("alter table deals drop column has_lines")
    op.execute("drop table deal_lines, products, distributions, distribution_rules")
