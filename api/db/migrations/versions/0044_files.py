"""Files of records."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

_TABLE = f"""
create table files ({AGGREGATE_COLUMNS},
    name text not null check (length(name) between 1 and 200),
    media_type text not null check (length(media_type) between 1 and 200),
    size_bytes bigint not null check (size_bytes >= 0),
    sha256 text not null check (sha256 ~ '^[0-9a-f]{{64}}$'),
    is_scanned boolean not null,
    uploaded_by uuid,
    deal_id uuid,
    contact_id uuid,
    company_id uuid,
    activity_id uuid,
    message_id uuid,
    deleted_at timestamptz
);
create index ix_files_sha256 on files (organization_id, sha256);
create index ix_files_uploaded_by on files (organization_id, uploaded_by, id) where deleted_at is null;
create index ix_files_deal on files (organization_id, deal_id, created_at, id) where deal_id is not null;
create index ix_files_contact on files (organization_id, contact_id, created_at, id) where contact_id is not null;
create index ix_files_company on files (organization_id, company_id, created_at, id) where company_id is not null;
create index ix_files_activity on files (organization_id, activity_id, id) where activity_id is not null;
create index ix_files_message on files (organization_id, message_id, id) where message_id is not null;
create index ix_files_deleted on files (organization_id, deleted_at) where deleted_at is not null;
"""
# what a note or a message was about stays what its file is about, when the bin is emptied of them
_RELATIONS = belongs_to_organization("files") + "".join(
    belongs_to("files", column, references=table)
    for column, table in (
        ("uploaded_by", "users"),
        ("deal_id", "deals"),
        ("contact_id", "contacts"),
        ("company_id", "companies"),
        ("message_id", "messages"),
    )
)
_WORKER = """
create policy worker on files for select to sluice_worker using (deleted_at < now() - interval '90 days');
grant select (organization_id, deleted_at) on files to sluice_worker;
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_TABLE + _RELATIONS + protect("files") + _WORKER)


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table files")
