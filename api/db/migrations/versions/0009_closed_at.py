"""When a deal was won or lost, which differs from when it entered its stage once it moves on among won stages."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# without a value the deal was closed when it entered its stage: no backfill. The version before reopens deals without
# knowing of the column
_COLUMN = """
alter table deals add column closed_at timestamptz;
create function forget_closing() returns trigger language plpgsql as $$
begin
    new.closed_at := null;
    return new;
end $$;
create trigger forget_closing before update of status on deals
    for each row when (new.status = 'open' and new.closed_at is not null) execute function forget_closing();
"""


def upgrade() -> None:
    """Add the column."""
    op.execute(_COLUMN)


def downgrade() -> None:
    """Take it back."""
    op.execute("drop trigger forget_closing on deals")
    op.execute("drop function forget_closing()")
    op.execute("alter table deals drop column closed_at")
