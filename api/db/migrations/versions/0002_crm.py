"""The CRM: companies, contacts, pipelines with their stages, and deals."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = f"""
create table companies ({AGGREGATE_COLUMNS},
    name text not null check (length(name) between 1 and 200),
    domain text check (length(domain) <= 320),
    industry_id uuid,
    employee_count integer check (employee_count >= 0),
    country text check (country ~ '^[A-Z]{{2}}$'),
    owner_id uuid,
    external_id text check (length(external_id) between 1 and 200)
);
create unique index uq_companies_external_id on companies (organization_id, external_id)
    where external_id is not null;
create index ix_companies_name on companies (organization_id, lower(name));
create index ix_companies_owner on companies (organization_id, owner_id, id);

create table contacts ({AGGREGATE_COLUMNS},
    name text not null check (length(name) between 1 and 200),
    email text check (length(email) <= 320),
    phone text check (length(phone) <= 60),
    company_id uuid,
    owner_id uuid,
    source_id uuid,
    external_id text check (length(external_id) between 1 and 200)
);
create unique index uq_contacts_external_id on contacts (organization_id, external_id)
    where external_id is not null;
create index ix_contacts_email on contacts (organization_id, lower(email)) where email is not null;
create index ix_contacts_company on contacts (organization_id, company_id) where company_id is not null;
create index ix_contacts_owner on contacts (organization_id, owner_id, id);

create table pipelines ({AGGREGATE_COLUMNS},
    name text not null check (length(name) between 1 and 120),
    is_active boolean not null default true
);
create unique index uq_pipelines_name on pipelines (organization_id, lower(name)) where is_active;

-- Positions of active stages differ within a pipeline. No index says so: a reordering passes through ties, and every
-- change of a stage holds its pipeline's row.
create table stages ({AGGREGATE_COLUMNS},
    pipeline_id uuid not null,
    name text not null check (length(name) between 1 and 120),
    kind text not null check (kind in ('open', 'won', 'lost')),
    position integer not null check (position >= 0),
    target_days integer check (target_days >= 0),
    is_retired boolean not null default false,
    constraint uq_stages_pipeline unique (organization_id, pipeline_id, id)
);
create unique index uq_stages_name on stages (organization_id, pipeline_id, lower(name)) where not is_retired;

-- The row holds where the deal stands: its path is in event_log, found by (organization_id, aggregate_id). Only a
-- backdated move and the history read it, so a second copy of each entry would cost every move and serve few.
-- A deleted deal's row stays: reports as of earlier instants still show it and look up its title.
create table deals ({AGGREGATE_COLUMNS},
    pipeline_id uuid not null,
    stage_id uuid not null,
    stage_entered_at timestamptz not null,
    status text not null check (status in ('open', 'won', 'lost')),
    title text not null check (length(title) between 1 and 200),
    amount_minor bigint,
    currency text not null check (currency ~ '^[A-Z]{{3}}$'),
    owner_id uuid,
    company_id uuid,
    contact_id uuid,
    source_id uuid,
    close_date date,
    lost_reason_id uuid,
    external_id text check (length(external_id) between 1 and 200),
    last_occurred_at timestamptz not null,
    deleted_at timestamptz,
    constraint ck_deals_clocks check (created_at <= stage_entered_at and stage_entered_at <= last_occurred_at),
    constraint fk_deals_pipeline foreign key (organization_id, pipeline_id) references pipelines (organization_id, id),
    -- a deal stands in a stage of its own pipeline
    constraint fk_deals_stage foreign key (organization_id, pipeline_id, stage_id)
        references stages (organization_id, pipeline_id, id)
);
create unique index uq_deals_external_id on deals (organization_id, external_id)
    where external_id is not null and deleted_at is null;
create index ix_deals_stage on deals (organization_id, pipeline_id, stage_id) where deleted_at is null;
create index ix_deals_owner on deals (organization_id, owner_id, id) where deleted_at is null;
create index ix_deals_company on deals (organization_id, company_id) where company_id is not null;
create index ix_deals_contact on deals (organization_id, contact_id) where contact_id is not null;
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("companies"),
        belongs_to("companies", "owner_id", references="users"),
        belongs_to("companies", "industry_id", references="picklist_values"),
        belongs_to_organization("contacts"),
        belongs_to("contacts", "company_id", references="companies"),
        belongs_to("contacts", "owner_id", references="users"),
        belongs_to("contacts", "source_id", references="picklist_values"),
        belongs_to_organization("pipelines"),
        belongs_to("stages", "pipeline_id", references="pipelines"),
        belongs_to("deals", "owner_id", references="users"),
        belongs_to("deals", "company_id", references="companies"),
        belongs_to("deals", "contact_id", references="contacts"),
        belongs_to("deals", "source_id", references="picklist_values"),
        belongs_to("deals", "lost_reason_id", references="picklist_values"),
    ]
)

_GRANTS = "select, insert, update"
_PROTECTION = "".join(
    protect(table, grants=_GRANTS) for table in ("companies", "contacts", "pipelines", "stages", "deals")
)


def upgrade() -> None:
    """Apply."""
    for part in (_TABLES, _RELATIONS, _PROTECTION):
        op.execute(part)


def downgrade() -> None:
    """Drop all of it."""
    op.execute("drop table deals, stages, pipelines, contacts, companies")
