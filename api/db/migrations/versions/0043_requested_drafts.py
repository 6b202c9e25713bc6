"""The worker takes drafts that rules request: of other organizations it sees only that they wait."""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

_GRANTED = """
create policy worker on drafts to sluice_worker using (true) with check (true);
grant select (organization_id, id, state, request_key, created_at, updated_at) on drafts to sluice_worker;
grant update (updated_at) on drafts to sluice_worker;
"""


def upgrade() -> None:
    """Let it."""
    op.execute(_GRANTED)
    with op.get_context().autocommit_block():
        op.execute(
            "create index concurrently if not exists ix_drafts_generating on drafts (created_at)"
            " where state = 'generating'"
        )


def downgrade() -> None:
    """Forbid it."""
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists ix_drafts_generating")
    op.execute("revoke all on drafts from sluice_worker")
    op.execute("drop policy worker on drafts")
