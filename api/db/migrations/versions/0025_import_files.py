"""The worker sees when an import ended: it takes away files that nobody needs any more."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("grant select (completed_at) on imports to sluice_worker")


def downgrade() -> None:
    """Take it back."""
    op.execute("revoke select (completed_at) on imports from sluice_worker")
