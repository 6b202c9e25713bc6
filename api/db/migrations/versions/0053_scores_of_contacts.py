"""Models and scores are of deals or of contacts; a quick way to the scores of a contact in the log."""

from alembic import op

from api.db.indexes import build_index, drop_index

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None

_BECOMES_WIDER = """
-- squawk-ignore prefer-robust-stmts -- one transaction, over before the indexes are built
alter table score_models add column subject text not null default 'deal'
    constraint score_models_subject_check check (subject in ('deal', 'contact'));
-- squawk-ignore prefer-robust-stmts -- one transaction, over before the indexes are built
alter table scores add column contact_id uuid;
-- squawk-ignore prefer-robust-stmts, ban-drop-not-null -- a score without a deal is of a contact, new here
alter table scores alter column deal_id drop not null;
-- squawk-ignore prefer-robust-stmts -- one transaction, over before the indexes are built
alter table scores add constraint ck_scores_subject check (num_nonnulls(deal_id, contact_id) = 1) not valid;
-- squawk-ignore prefer-robust-stmts -- one transaction, over before the indexes are built
alter table scores add constraint fk_scores_contact_id
    foreign key (organization_id, contact_id) references contacts (organization_id, id) not valid;
-- a merge takes scores along, an erasure takes them away
grant update (contact_id), delete on scores to sluice_app;
"""


def upgrade() -> None:
    """Apply."""
    op.execute(_BECOMES_WIDER)
    build_index("ix_scores_contact", "scores (organization_id, contact_id, id) where contact_id is not null")
    build_index(
        "ix_event_log_scored_contact",
        "event_log (organization_id, (data ->> 'contact_id')) where type = 'lead.scored'"
        " and data ->> 'contact_id' is not null",
    )
    build_index(
        "uq_score_models_promoted_subject",
        "score_models (organization_id, subject) where state = 'promoted'",
        is_unique=True,
    )
    drop_index("uq_score_models_promoted")
    op.execute("alter table scores validate constraint ck_scores_subject")
    op.execute("alter table scores validate constraint fk_scores_contact_id")


def downgrade() -> None:
    """Take it back; what was said of contacts goes."""
    op.execute("delete from scores where contact_id is not null")
    op.execute("delete from score_models where subject = 'contact'")
    build_index("uq_score_models_promoted", "score_models (organization_id) where state = 'promoted'", is_unique=True)
    for index in ("uq_score_models_promoted_subject", "ix_event_log_scored_contact", "ix_scores_contact"):
        drop_index(index)
    op.execute("""
revoke update (contact_id), delete on scores from sluice_app;
alter table scores drop constraint ck_scores_subject, drop column contact_id;
alter table scores alter column deal_id set not null;
alter table score_models drop column subject;
""")
