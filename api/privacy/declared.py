"""What each tenant table knows of contacts: which rows, which columns, and what stands there after an erasure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_DEALS = "select d.id from deals as d where d.organization_id = :organization_id and d.contact_id = :contact_id"
_THREADS = (
    "select c.id from conversations as c where c.organization_id = :organization_id and c.contact_id = :contact_id"
)
#: Messages with a contact.
MESSAGES = (
    f"select m.id from messages as m where m.organization_id = :organization_id and m.conversation_id in ({_THREADS})"
)
_ABOUT = f"(contact_id = :contact_id or deal_id in ({_DEALS}))"
_NOTES = (
    "select a.id from activities as a where a.organization_id = :organization_id"
    f" and (a.contact_id = :contact_id or a.deal_id in ({_DEALS}))"
)
_GONE = "'Erased'"
#: Files of a contact, of their deals, of what was said and noted.
FILES = (
    f"(contact_id = :contact_id or deal_id in ({_DEALS}) or message_id in ({MESSAGES}) or activity_id in ({_NOTES}))"
)


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A table. `where` finds the rows that speak of `:contact_id`.

    `erased`: what its columns become, as SQL. `rest`: columns of text that hold nothing of contacts. `goes`: the rows
    are deleted. `mentions`: free text, in which a contact's name or address is struck out wherever it stands.
    """

    where: str = ""
    erased: Mapping[str, str] = field(default_factory=dict)
    rest: str = ""
    mentions: str = ""
    goes: bool = False

    @property
    def columns(self) -> frozenset[str]:
        """All columns that are spoken of."""
        return frozenset([*self.erased, *self.rest.split(), *self.mentions.split()])


def _staff(columns: str, *, mentions: str = "") -> Declared:
    """A table that is written by people and programs of the organization, about themselves and their work."""
    return Declared(rest=columns, mentions=mentions)


#: In the order in which they are erased: what others are found by comes last.
DECLARED: Mapping[str, Declared] = {
    "files": Declared(where=FILES, goes=True, rest="media_type sha256", mentions="name"),
    "message_payloads": Declared(where=f"message_id in ({MESSAGES})", goes=True),
    "sends": Declared(
        where=f"message_id in ({MESSAGES})", erased={"address": _GONE}, rest="state source failure hours"
    ),
    "drafts": Declared(
        where=f"(conversation_id in ({_THREADS}) or deal_id in ({_DEALS}))",
        erased={"written": "''", "text": "''", "cited": "'{}'"},
        rest="request_key kind state prompt model inputs_hash action approved_hash failure",
        mentions="written text",
    ),
    "messages": Declared(
        where=f"conversation_id in ({_THREADS})",
        erased={
            "provider_id": "'erased:' || id",
            "sender": "null",
            "subject": "null",
            "text": "''",
            "html": "null",
            "details": "'{}'",
            "failure": "null",
        },
        rest="direction kind state",
        mentions="subject text html",
    ),
    "activities": Declared(
        where=_ABOUT,
        erased={"subject": "null", "body": _GONE},
        rest="kind direction",
        mentions="subject body",
    ),
    "tasks": Declared(where=_ABOUT, erased={"title": _GONE, "body": "null"}, rest="recurrence", mentions="title body"),
    "notifications": Declared(
        where=f"(subject_id = :contact_id or subject_id in ({_DEALS}) or subject_id in ({_THREADS}))",
        erased={"text": _GONE},
        rest="subject_type",
        mentions="text",
    ),
    "scores": Declared(where="contact_id = :contact_id", goes=True, rest="reasons"),
    "rule_runs": Declared(
        where=f"(subject_id = :contact_id or subject_id in ({_DEALS}) or subject_id in ({_THREADS}))",
        erased={"facts": "'{}'", "actions": "'[]'", "detail": "null"},
        rest="key mode subject_type outcome score_model",
    ),
    "rule_waits": Declared(
        where=f"(subject_id = :contact_id or subject_id in ({_DEALS}) or subject_id in ({_THREADS}))",
        goes=True,
        rest="subject_type",
    ),
    "rule_calls": Declared(
        where="position(cast(:contact_id as text) in body::text) > 0", erased={"body": "'{}'"}, rest="url error"
    ),
    "webhook_deliveries": Declared(
        where="position(cast(:contact_id as text) in body) > 0",
        erased={"answer": "null"},
        rest="event_type body status error",
    ),
    "idempotency_keys": Declared(
        where="position(convert_to(cast(:contact_id as text), 'UTF8') in body) > 0", goes=True
    ),
    "merged_records": Declared(
        where="kind = 'contact' and (merged_id = :contact_id or survivor_id = :contact_id)",
        erased={
            "external_id": "null",
            "merged": "'{}'",
            "moved": "'{}'",
            "dropped": "'{}'",
            "survivor_before": "'{}'",
            "survivor_after": "'{}'",
            # what was forgotten cannot be taken apart again
            "undone_at": "coalesce(undone_at, clock_timestamp())",
        },
        rest="kind",
    ),
    "distinct_pairs": Declared(
        where="kind = 'contact' and (first_id = :contact_id or second_id = :contact_id)", goes=True, rest="kind"
    ),
    "bulk_items": Declared(
        where=f"(deal_id in ({_DEALS}) or record_id = :contact_id)", erased={"before": "null"}, rest="status problem"
    ),
    "custom_unique_values": Declared(where="record_id = :contact_id", goes=True),
    "channel_identities": Declared(where="contact_id = :contact_id", goes=True),
    "conversations": Declared(
        where="contact_id = :contact_id",
        erased={"subject": "null", "address": "'erased:' || id", "thread_key": "'erased:' || id", "labels": "'{}'"},
        rest="channel status last_direction",
        mentions="subject",
    ),
    "deals": Declared(
        where="contact_id = :contact_id",
        erased={
            "title": _GONE,
            "custom": "custom - array(select f.id::text from custom_fields as f"
            " where f.organization_id = :organization_id and f.is_personal)",
            # what may tell of them; the rest is what events say
            "computed": "coalesce(computed_told, '{}')",
        },
        rest="status currency external_id computed_told",
        mentions="title",
    ),
    "contacts": Declared(
        where="id = :contact_id",
        erased={
            "name": _GONE,
            "email": "null",
            "phone": "null",
            "external_id": "null",
            "custom": "'{}'",
            "computed": "'{}'",
            "binned": "null",
        },
        rest="computed_told",
    ),
    "contact_channels": Declared(where="contact_id = :contact_id", goes=True),
    "import_problems": _staff("field fix", mentions="value problem"),
    "views": _staff("name record_kind sort columns filter"),
    "companies": _staff("name domain country external_id custom computed computed_told binned"),
    # kept so that nobody writes to them again: Art. 21(3) and 17(3)(b) GDPR
    "suppressions": _staff("channel address reason"),
    # ids and facts alone: contracts/events forbid more
    "event_log": _staff("type aggregate_type actor data parked_reason"),
    "consumed_events": _staff("consumer parked_reason"),
    "audit_log": _staff("action actor address resource before after previous hash"),
    "api_keys": _staff("name digest hint scopes role"),
    "bd_accounts": _staff("channel name address state reason settings secret lease_holder cursor"),
    "rentals": _staff("offer_id channel title kind currency state payment_id failure"),
    "bd_account_days": _staff("filtered failed"),
    "x_deliveries": _staff("digest"),
    "bd_account_signs": _staff("kind"),
    "billing_customers": _staff("provider_customer_id"),
    "canned_replies": _staff("title text"),
    "custom_fields": _staff("record_kind name type choices expression"),
    "entitlements": _staff("limits fallback"),
    "learned_headings": _staff("entity heading column_name"),
    "imports": _staff("state options files progress warnings error"),
    "invitations": _staff("email name role record_scope"),
    "usage_reports": _staff("meter"),
    "invoices": _staff("provider_invoice_id number status currency page_url pdf_url lines"),
    "organizations": _staff("name time_zone currency"),
    "picklist_values": _staff("picklist label"),
    "pipelines": _staff("name"),
    "rule_versions": _staff("mode document"),
    "rule_figures": _staff("digest"),
    "rules": _staff("name mode document disabled_because"),
    "score_models": _staff("state subject artefact sha256 card data_version code_version"),
    "sessions": _staff("revoked_because address user_agent"),
    "stages": _staff("name kind entry_fields exit_fields"),
    "subscriptions": _staff("provider_subscription_id provider_item_id plan status interval currency"),
    "teams": _staff("name"),
    "users": _staff("email name role record_scope"),
    "webhooks": _staff("url event_types sealed sealed_before state reason"),
    "exchange_rate_days": _staff("base rates"),
    "distribution_rules": _staff("name method members working_hours credits"),
    "distributions": _staff("outcome facts"),
    "products": _staff("name code currency"),
    "deal_lines": _staff("name"),
    "tags": _staff("name"),
    "record_tags": _staff("record_kind"),
    "bulk_jobs": _staff("kind filter action state"),
    "campaigns": _staff("name state legal_basis basis_note filter steps hours pace"),
    "campaign_recipients": _staff("state ending reason"),
    "campaign_touches": _staff("variant state channel failure"),
    "consents": _staff("source"),
    "goals": _staff("measure currency"),
    "watches": _staff("name metric measure question period direction digest currency problem"),
    "watch_mails": _staff("subject body"),
    "drafting_policies": _staff("link_hosts"),
    # kept in step with its records by triggers
    "search_documents": _staff("kind title detail words"),
    "erasures": _staff("receipt"),
    "organization_deletions": _staff("removed owners"),
    "feature_flags": _staff("flag"),
}

#: What stays of somebody who was erased, and why it may (Regulation (EU) 2016/679).
KEPT: tuple[tuple[str, str], ...] = (
    ("event_log", "Ids, instants and amounts of what happened, without a name: no data of an identifiable person."),
    ("audit_log", "Who of the staff did what: legal claims, Art. 17(3)(e)."),
    ("suppressions", "Addresses that nothing may be sent to: the objection itself, Art. 21(3) and 17(3)(b)."),
    ("deals", "Amount, stage and dates without a title: records of the business, Art. 17(3)(b)."),
    ("files", "Files of other records that speak of them: nobody can tell but who reads them; delete those by hand."),
    ("backups", "Until they end by their age (docs/privacy.md); an erasure is repeated after a restore."),
)
