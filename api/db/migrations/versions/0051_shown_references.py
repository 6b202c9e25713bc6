"""What lies in the bin is nobody's new contact or company; contacts and companies in it are found by when they went."""

from alembic import op

from api.db.indexes import build_index, drop_index

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

# a foreign key finds what row-level security hides: so that both refuse alike, this one speaks in its name
_REQUIRE = """
create function require_shown(
    in_table text, in_organization_id uuid, in_contact_id uuid, in_company_id uuid
) returns void language plpgsql as $$
begin
    if in_contact_id is not null and not exists (
        select from public.contacts where organization_id = in_organization_id and id = in_contact_id
    ) then
        raise foreign_key_violation using constraint = format('fk_%s_contact_id', in_table);
    end if;
    if in_company_id is not null and not exists (
        select from public.companies where organization_id = in_organization_id and id = in_company_id
    ) then
        raise foreign_key_violation using constraint = format('fk_%s_company_id', in_table);
    end if;
end $$;
"""
_TABLES = ("contacts", "companies")


def upgrade() -> None:
    """Apply."""
    op.execute(_REQUIRE)
    for table in _TABLES:
        build_index(f"ix_{table}_bin", f"{table} (deleted_at) where binned is not null")


def downgrade() -> None:
    """Take it back."""
    for table in _TABLES:
        drop_index(f"ix_{table}_bin")
    op.execute("drop function require_shown")
