"""An index of suppressed mailboxes: each claim asks whether its address is one."""

from api.db.indexes import build_index, drop_index

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build it."""
    build_index("ix_suppressions_mailbox", "suppressions (organization_id, channel, mailbox(address))")


def downgrade() -> None:
    """Drop it."""
    drop_index("ix_suppressions_mailbox")
