"""What lies in the recycle bin is found by when it was deleted."""

from api.db.indexes import build_index, drop_index

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_TABLES = ("deals", "tasks", "activities")


def upgrade() -> None:
    """Apply."""
    for table in _TABLES:
        build_index(f"ix_{table}_bin", f"{table} (deleted_at) where deleted_at is not null")


def downgrade() -> None:
    """Take it back."""
    for table in _TABLES:
        drop_index(f"ix_{table}_bin")
