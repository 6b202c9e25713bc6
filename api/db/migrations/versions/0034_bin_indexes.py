"""What lies in the recycle bin is found by when it was deleted."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_TABLES = ("deals", "tasks", "activities")


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        for table in _TABLES:
            op.execute(
                f"create index concurrently if not exists ix_{table}_bin on {table} (deleted_at)"
                " where deleted_at is not null"
            )


def downgrade() -> None:
    """Take it back."""
    with op.get_context().autocommit_block():
        for table in _TABLES:
            op.execute(f"drop index concurrently if exists ix_{table}_bin")
