"""An index of suppressed mailboxes: each claim asks whether its address is one."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build it."""
    with op.get_context().autocommit_block():
        op.execute(
            "create index concurrently if not exists ix_suppressions_mailbox on suppressions"
            " (organization_id, channel, mailbox(address))"
        )


def downgrade() -> None:
    """Drop it."""
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists ix_suppressions_mailbox")
