"""What a restored PostgreSQL is known by, and what the backup role may see."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# server: the cluster's identity and timeline, which recovery to an instant and promotion of a standby change.
# repaired_at: when the warehouse was made to forget what a restored PostgreSQL no longer holds.
_EPOCH = """
alter table transport_epoch add column server text, add column repaired_at timestamptz;
grant update (server, repaired_at) on transport_epoch to sluice_relay;
"""

_BACKUP = """
grant select, insert, update on process_status to sluice_backup;
grant select on alembic_version to sluice_backup;
"""


def upgrade() -> None:
    """Add the columns and the grants."""
    op.execute(_EPOCH)
    op.execute(_BACKUP)


def downgrade() -> None:
    """Take both back."""
    op.execute("revoke all on process_status, alembic_version from sluice_backup")
    op.execute("alter table transport_epoch drop column server, drop column repaired_at")
