"""Sign-ins that end everywhere at once, and that are no change of the user who signs in."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

# whoever changes their password ends their sign-ins in every organization
_SESSIONS = """
create policy auth on sessions to sluice_auth using (true) with check (true);
grant select, update on sessions to sluice_auth;
"""
# a sign-in is an event of the user and so a version; what a reader of the user holds on to are the other ones
_USERS = "alter table users add column sign_ins bigint not null default 0"


def upgrade() -> None:
    """Let sign-ins be ended, and counted."""
    op.execute(_SESSIONS)
    op.execute(_USERS)


def downgrade() -> None:
    """Take both back."""
    op.execute("alter table users drop column sign_ins")
    op.execute("revoke select, update on sessions from sluice_auth")
    op.execute("drop policy auth on sessions")
