"""Use beyond the plan is paid for: since when, and by which clock of the provider it was told."""

from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None

# what was told by an older version was counted in other units, and stays under other names
_UP = """
alter table subscriptions add column pays_usage boolean not null default false, add column usage_since timestamptz;
-- squawk-ignore ban-drop-constraint -- nobody but us reads which meters there are
alter table usage_reports add column stamped_at timestamptz, drop constraint usage_reports_meter_check;
"""
_DOWN = """
delete from usage_reports where meter not in ('ai_drafts', 'bd_accounts');
alter table usage_reports drop column stamped_at,
    add constraint usage_reports_meter_check check (meter in ('ai_drafts', 'bd_accounts'));
alter table subscriptions drop column pays_usage, drop column usage_since;
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(_UP)


def downgrade() -> None:
    """Drop them."""
    op.execute(_DOWN)
