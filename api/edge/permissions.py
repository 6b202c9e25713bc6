"""Who may do what: one table of all operations. The API asks it at each request, and tests are made from it.

An operation is a route, by its operation id. Its row says which roles may do it, and which scope the key of a program
must have for it (`area:read`, `area:write`; None: people only). Whose records one sees is the record scope's affair:
`is_narrowed` says that it applies, to what is listed, read, changed and counted alike.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contracts.access import Role

EVERYBODY = frozenset(Role)
ADMINISTRATORS = frozenset({Role.OWNER, Role.ADMIN})
WRITERS = ADMINISTRATORS | {Role.MANAGER, Role.REP}


@dataclass(frozen=True)
class Permission:
    """One row of the matrix. Open operations ask for no sign-in at all."""

    operation: str
    roles: frozenset[Role]
    scope: str | None
    is_narrowed: bool = False
    is_open: bool = False
    #: Also for people who have yet to set up the second factor that their organization asks for.
    is_of_oneself: bool = False


# scope, roles, whether the record scope narrows it, operations
_TABLE: tuple[tuple[str, frozenset[Role], bool, str], ...] = (
    ("audit:read", ADMINISTRATORS, False, "list_audit_entries"),
    ("billing:read", ADMINISTRATORS, False, "read_billing list_plans list_invoices list_tax_ids"),
    (
        "accounts:read",
        EVERYBODY,
        False,
        "list_bd_accounts read_bd_account list_bd_account_assignments read_bd_account_health list_bd_account_days",
    ),
    (
        "accounts:write",
        ADMINISTRATORS,
        False,
        "create_bd_account update_bd_account assign_bd_account keep_bd_account_secret",
    ),
    (
        "channels:write",
        ADMINISTRATORS,
        False,
        (
            "report_bd_account lease_bd_account release_bd_account read_bd_account_connection keep_bd_account_cursor"
            " compare_bd_account_day take_in_messages change_messages claim_sends await_sends tell_send_result"
        ),
    ),
    (
        "campaigns:read",
        EVERYBODY,
        True,
        (
            "list_campaigns read_campaign read_campaign_audience preview_campaign list_campaign_recipients"
            " read_campaign_progress list_consents"
        ),
    ),
    (
        "campaigns:write",
        WRITERS,
        True,
        (
            "create_campaign update_campaign pause_campaign resume_campaign cancel_campaign stop_campaign_for"
            " create_consent withdraw_consent suppress_addresses"
        ),
    ),
    ("campaigns:read", ADMINISTRATORS, False, "list_suppressions"),
    ("campaigns:write", ADMINISTRATORS, False, "lift_suppression"),
    ("companies:read", EVERYBODY, True, "list_companies read_company read_company_timeline"),
    ("companies:write", WRITERS, True, "create_company update_company delete_company"),
    ("contacts:read", EVERYBODY, True, "list_contacts read_contact read_contact_timeline"),
    ("contacts:write", WRITERS, True, "create_contact update_contact delete_contact"),
    ("privacy:read", ADMINISTRATORS, False, "show_personal_data list_erasures"),
    ("privacy:write", ADMINISTRATORS, False, "erase_contact"),
    ("activities:read", EVERYBODY, True, "list_notes read_note list_activities read_activity"),
    ("activities:write", WRITERS, True, "create_note update_note delete_note log_activity update_activity"),
    ("activities:write", WRITERS, True, "delete_activity"),
    ("contacts:write", WRITERS, True, "merge_contacts unmerge_contact"),
    ("companies:write", WRITERS, True, "merge_companies unmerge_company"),
    ("duplicates:read", EVERYBODY, True, "list_duplicates list_merges"),
    ("duplicates:write", WRITERS, True, "judge_duplicate"),
    ("custom_fields:read", EVERYBODY, False, "list_custom_fields read_custom_field"),
    ("custom_fields:write", ADMINISTRATORS, False, "create_custom_field update_custom_field"),
    ("deals:read", EVERYBODY, True, "list_deals read_deal list_deal_history read_deal_timeline"),
    (
        "conversations:read",
        EVERYBODY,
        True,
        (
            "list_conversations read_conversation list_conversation_messages list_messages read_message"
            " download_attachment download_original list_canned_replies"
        ),
    ),
    (
        "conversations:write",
        WRITERS,
        True,
        (
            "start_conversation update_conversation close_conversation reopen_conversation see_conversation"
            " reply_to_conversation note_conversation retry_message confirm_message create_canned_reply"
            " delete_canned_reply be_present leave_conversation"
        ),
    ),
    ("deals:write", WRITERS, True, "create_deal update_deal delete_deal move_deal win_deal lose_deal reopen_deal"),
    ("deals:write", WRITERS, True, "distribute_deal set_line_items"),
    ("deals:read", EVERYBODY, True, "read_line_items"),
    ("bulk:read", EVERYBODY, False, "list_bulk read_bulk list_bulk_problems"),
    ("bulk:write", WRITERS, True, "start_bulk stop_bulk undo_bulk"),
    ("recycle_bin:read", EVERYBODY, True, "list_recycle_bin"),
    ("recycle_bin:write", WRITERS, True, "restore_record"),
    ("tags:read", EVERYBODY, False, "list_tags"),
    ("tags:write", ADMINISTRATORS, False, "delete_tag"),
    ("products:read", EVERYBODY, False, "list_products read_product"),
    ("products:write", ADMINISTRATORS | {Role.MANAGER}, False, "create_product update_product"),
    ("distribution:read", EVERYBODY, False, "list_distribution_rules read_distribution_rule"),
    ("distribution:read", EVERYBODY, True, "list_distributions"),
    (
        "distribution:write",
        ADMINISTRATORS,
        False,
        "create_distribution_rule update_distribution_rule delete_distribution_rule",
    ),
    ("drafts:read", EVERYBODY, True, "list_drafts read_draft read_drafting"),
    ("drafts:write", WRITERS, True, "create_draft stream_draft update_draft reject_draft"),
    ("drafts:write", ADMINISTRATORS, False, "set_drafting_policy"),
    ("exchange_rates:read", EVERYBODY, False, "list_exchange_rates read_exchange_rates"),
    ("exchange_rates:write", ADMINISTRATORS, False, "put_exchange_rates import_exchange_rates"),
    ("exports:read", EVERYBODY, True, "export_list"),
    ("files:read", EVERYBODY, True, "list_files read_file download_file read_file_storage"),
    ("files:write", WRITERS, True, "attach_file delete_file"),
    ("goals:read", EVERYBODY, True, "list_goals read_goal"),
    ("goals:write", ADMINISTRATORS | {Role.MANAGER}, True, "create_goal update_goal delete_goal"),
    ("imports:read", ADMINISTRATORS, False, "list_imports read_import read_import_errors list_learned_headings"),
    ("imports:write", ADMINISTRATORS, False, "start_import show_import_preview revert_import forget_learned_heading"),
    ("live:read", EVERYBODY, True, "list_live_events"),
    (
        "metrics:read",
        EVERYBODY,
        True,
        "list_metrics read_metric list_metric_rows download_metric_rows read_freshness list_warehouse_versions",
    ),
    ("metrics:read", EVERYBODY, True, "list_restatements"),
    ("organization:read", EVERYBODY, False, "list_organizations read_organization list_picklist_values"),
    ("organization:read", EVERYBODY, False, "read_organization_deletion"),
    ("organization:write", ADMINISTRATORS, False, "update_organization"),
    ("pipelines:read", EVERYBODY, False, "list_pipelines read_pipeline"),
    (
        "pipelines:write",
        ADMINISTRATORS,
        False,
        "create_pipeline update_pipeline add_stage update_stage retire_stage restore_stage",
    ),
    ("rentals:read", EVERYBODY, False, "list_rentals read_rental list_rental_offers"),
    ("rentals:write", ADMINISTRATORS, False, "order_rental renew_rental hand_back_rental"),
    ("rules:read", EVERYBODY, False, "list_rules read_rule list_rule_templates read_rule_vocabulary"),
    ("rules:read", ADMINISTRATORS, False, "list_rule_runs list_all_rule_runs read_undo_report"),
    ("rules:write", ADMINISTRATORS, False, "create_rule update_rule delete_rule lint_rule backtest_rule replay_rule"),
    ("scores:read", EVERYBODY, True, "list_scores list_score_history list_score_models"),
    (
        "scores:write",
        ADMINISTRATORS,
        False,
        "write_scores create_score_model read_score_artefact promote_score_model roll_back_score_model",
    ),
    ("tasks:read", EVERYBODY, True, "list_tasks read_task"),
    ("tasks:write", WRITERS, True, "create_task update_task complete_task reopen_task delete_task"),
    ("teams:read", EVERYBODY, False, "list_teams read_team list_team_members"),
    ("teams:write", ADMINISTRATORS, False, "create_team update_team add_team_member remove_team_member"),
    ("search:read", EVERYBODY, True, "search"),
    ("views:read", EVERYBODY, False, "list_views read_view"),
    ("views:write", EVERYBODY, False, "create_view update_view delete_view"),
    ("watches:read", EVERYBODY, False, "list_watches read_watch"),
    ("watches:write", EVERYBODY, False, "create_watch update_watch delete_watch"),
    ("users:read", EVERYBODY, False, "list_users read_user list_roles"),
    ("users:write", ADMINISTRATORS, False, "create_user update_user"),
    (
        "webhooks:read",
        ADMINISTRATORS,
        False,
        "list_webhooks list_webhook_event_types read_webhook list_webhook_deliveries",
    ),
    (
        "webhooks:write",
        ADMINISTRATORS,
        False,
        ("create_webhook update_webhook delete_webhook rotate_webhook_secret replay_webhook_delivery test_webhook"),
    ),
)
_OWNERS = frozenset({Role.OWNER})
#: What only people do, never a program with a key.
_PEOPLE: tuple[tuple[frozenset[Role], str], ...] = (
    (EVERYBODY, "list_api_keys list_key_scopes create_api_key revoke_api_key list_sessions revoke_session"),
    (ADMINISTRATORS, "invite list_invitations revoke_invitation"),
    (EVERYBODY, "list_notifications read_notification list_feature_flags"),
    (_OWNERS, "set_feature_flag archive_organization ask_for_deletion cancel_deletion"),
    (WRITERS, "approve_draft send_draft start_campaign"),
    (ADMINISTRATORS, "open_checkout open_portal preview_change change_subscription add_tax_id delete_tax_id"),
)
#: What people do with their own sign-in.
_ONESELF = (
    "log_out change_password ask_for_address_link begin_second_factor confirm_second_factor remove_second_factor"
    " list_my_organizations switch_organization read_my_limits list_my_identities link_identity unlink_identity"
)
_OPEN = (
    "sign_up log_in refresh_sign_in ask_for_password_link set_password_by_link prove_address accept_invitation"
    " receive_delivery list_sign_in_providers begin_provider_sign_in finish_provider_sign_in"
    " show_provider_second_factor show_unsubscribing unsubscribe answer_x_challenge receive_x_delivery"
)


def _rows() -> Iterator[Permission]:
    for scope, roles, is_narrowed, operations in _TABLE:
        for operation in operations.split():
            yield Permission(operation, roles, scope, is_narrowed)
    for roles, operations in _PEOPLE:
        for operation in operations.split():
            yield Permission(operation, roles, None)
    for operation in _ONESELF.split():
        yield Permission(operation, EVERYBODY, None, is_of_oneself=True)
    yield Permission("read_me", EVERYBODY, "me:read", is_of_oneself=True)
    for operation in _OPEN.split():
        yield Permission(operation, EVERYBODY, None, is_open=True)


#: The matrix, by operation.
PERMISSIONS: Mapping[str, Permission] = {row.operation: row for row in _rows()}


def scopes_of(role: Role) -> frozenset[str]:
    """Every scope that a role can make use of."""
    return frozenset(row.scope for row in PERMISSIONS.values() if row.scope is not None and role in row.roles)


#: Every scope that a key can have.
SCOPES = frozenset(row.scope for row in PERMISSIONS.values() if row.scope is not None)
