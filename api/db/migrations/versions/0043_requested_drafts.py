"""The worker takes drafts that rules request: of other organizations it sees only that they wait."""

from alembic import op

from api.db.indexes import build_index, drop_index

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
    build_index("ix_drafts_generating", "drafts (created_at) where state = 'generating'")
    op.execute(_GRANTED)


def downgrade() -> None:
    """Forbid it."""
    drop_index("ix_drafts_generating")
    op.execute("revoke all on drafts from sluice_worker")
    op.execute("drop policy worker on drafts")
