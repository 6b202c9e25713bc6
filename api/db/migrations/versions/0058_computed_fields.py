"""Custom fields that are computed: an expression over the record, instead of a value that people fill."""

from alembic import op

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None

_FILLED = "'text', 'number', 'money', 'date', 'choice', 'choices', 'person', 'link'"


def _of_types(types: str) -> str:
    return f"""
-- squawk-ignore ban-drop-constraint -- it is there again, wider, before anybody sees it gone
alter table custom_fields drop constraint custom_fields_type_check;
-- squawk-ignore constraint-missing-not-valid -- a hundred fields of each kind at most
alter table custom_fields add constraint custom_fields_type_check check (type in ({types}));
"""


def upgrade() -> None:
    """Add the expression; a version before fills no such field, and lists it once somebody has made one."""
    op.execute("alter table custom_fields add column expression text check (length(expression) between 1 and 500)")
    op.execute(_of_types(f"{_FILLED}, 'computed'"))
    op.execute("""
-- squawk-ignore constraint-missing-not-valid -- as above
alter table custom_fields add constraint custom_fields_is_computed_check
    check ((type = 'computed') = (expression is not null));
""")


def downgrade() -> None:
    """What is computed goes: nothing else depends on it."""
    op.execute("delete from custom_fields where type = 'computed'")
    op.execute("alter table custom_fields drop column expression")
    op.execute(_of_types(_FILLED))
