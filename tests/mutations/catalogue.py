"""The mutations: what each breaks, how, and which tests must notice. Texts are found exactly once, or the run fails."""

from tests.mutations.access import ACCESS
from tests.mutations.computed import COMPUTED
from tests.mutations.delivery import DELIVERY
from tests.mutations.edges import EDGES
from tests.mutations.inbox import INBOX
from tests.mutations.money import MONEY
from tests.mutations.mutation import Edit, Mutation
from tests.mutations.outreach import OUTREACH
from tests.mutations.shown import SHOWN

MUTATIONS = (
    *ACCESS,
    *COMPUTED,
    *DELIVERY,
    *EDGES,
    *INBOX,
    *MONEY,
    *OUTREACH,
    *SHOWN,
    Mutation(
        "staging_does_not_drop_repeated_event_ids",
        (
            Edit(
                "dbt_project/models/staging/stg_events.sql",
                "        copy_number = 1\n        and {{ is_unseen(this, 'delivered') }}",
                "        1 = 1",
            ),
        ),
        ("tests/dbt_project/test_equal_results.py::test_w2_slices_equal_the_whole_and_a_full_refresh_changes_nothing",),
    ),
    Mutation(
        "deal_is_not_locked_before_its_event",
        (Edit("api/deals/records.py", "_bound(target, is_locked=True), events", "_bound(target), events"),),
        ("tests/api/crm/test_deals_move.py::TestAtOnce", "tests/api/crm/test_deals.py::TestUpdateDeal"),
    ),
    Mutation(
        "live_forgets_holes_of_the_log",
        (Edit("api/live/numbering.py", "self._holes[missed] = _Hole(found_at=now)", "pass"),),
        ("tests/api/live/test_live.py::test_a12_numbers_have_no_gap_whatever_the_order_of_commits",),
    ),
    Mutation(
        "live_takes_a_snapshots_bound_for_the_newest_transaction",
        (
            Edit(
                "api/live/records.py",
                "pg_current_xact_id()::text::bigint as newest",
                "pg_snapshot_xmax(pg_current_snapshot())::text::bigint as newest",
            ),
        ),
        ("tests/api/live/test_live.py::test_a12_a_hole_is_kept_for_whom_a_snapshot_does_not_know_yet",),
    ),
    Mutation(
        "figures_of_an_organization_outlive_it",
        (
            Edit(
                "orchestration/refresh.py",
                "state.generation > generation_of(last.raw_version)",
                "state.generation < generation_of(last.raw_version)",
            ),
        ),
        ("tests/orchestration/test_refresh.py::TestFailingCheck::test_g3_t8_of_the_only_organization_nothing_stays",),
    ),
    Mutation(
        "live_tells_of_records_of_others",
        (
            Edit(
                "api/live/audience.py",
                "return not permission.is_narrowed or self.owners is None or not self.owners.isdisjoint(owners)",
                "return True",
            ),
        ),
        ("tests/api/live/test_live.py::test_a12_record_scopes_and_roles_are_asked_before_each_push",),
    ),
    Mutation(
        "organization_outlives_its_transaction",
        (
            Edit(
                "api/kernel/unit_of_work.py",
                "set_config('sluice.organization_id', :organization_id, true)\"))",
                "set_config('sluice.organization_id', :organization_id, false)\"))",
            ),
            Edit(
                "api/db/migrations/versions/0001_foundation.py",
                "set_config('sluice.organization_id', in_organization_id::text, true)",
                "set_config('sluice.organization_id', in_organization_id::text, false)",
            ),
        ),
        ("tests/api/test_tenancy.py::test_t4_pooled_connections_carry_nothing_over",),
    ),
    Mutation(
        "row_level_security_is_not_forced",
        (Edit("api/db/tenancy.py", "alter table {table} force row level security;\n", ""),),
        ("tests/api/test_catalogue.py",),
    ),
    Mutation(
        "any_algorithm_signs_a_token",
        (
            Edit(
                "api/edge/security.py",
                "if head != self._head or given is None or not hmac",
                "if head == self._head and not hmac",
            ),
        ),
        ("tests/api/identity/test_sign_in.py::TestAccessToken::test_a5_forged_tokens_are_refused",),
    ),
    Mutation(
        "a_repeated_request_takes_effect_again",
        (Edit("api/edge/idempotency.py", 'if found.state == "done":', 'if found.state == "never":'),),
        ("tests/api/test_conventions.py",),
    ),
    Mutation(
        "marts_are_built_on_over_a_raw_that_was_rewritten",
        (
            Edit(
                "orchestration/build/parts.py",
                'return f"{self._digest(part)}@{generation}" if generation else self._digest(part)',
                "return self._digest(part) if generation >= 0 else str(generation)",
            ),
        ),
        ("tests/orchestration/test_reconciliation.py::TestRepair",),
    ),
    Mutation(
        "a_consumer_claims_an_event_again",
        (
            Edit(
                "api/edge/consumed.py",
                "where mine.consumed_at is null and mine.parked_reason is null\nreturning mine.position",
                "returning mine.position",
            ),
        ),
        ("tests/api/test_consumer.py",),
    ),
    Mutation(
        "a_consumer_takes_an_event_before_the_one_that_is_left_before_it",
        (Edit("api/edge/consumed.py", "and p.aggregate_version < e.aggregate_version", "and false"),),
        ("tests/api/test_consumer.py",),
    ),
    Mutation(
        "a_consumer_settles_what_a_snapshot_does_not_know_yet",
        (
            Edit(
                "api/edge/consumed.py",
                "pg_current_xact_id()::text::bigint as newest",
                "pg_snapshot_xmax(pg_current_snapshot())::text::bigint as newest",
            ),
        ),
        ("tests/api/test_consumer.py::test_a_settled_position_waits_for_whom_a_snapshot_does_not_know_yet",),
    ),
    Mutation(
        "a_rule_acts_on_what_it_has_acted_on",
        (
            Edit(
                "api/rules/firing.py",
                "    if not await records.claim_run(unit, run_id, _as_run(firing)):\n        return None\n",
                "    await records.claim_run(unit, run_id, _as_run(firing))\n",
            ),
        ),
        ("tests/api/rules/test_firing.py", "tests/api/rules/test_replay.py"),
    ),
    Mutation(
        "rules_chain_without_end",
        (Edit("api/rules/firing.py", "fact.depth >= DEEPEST", "fact.depth >= 10 * DEEPEST"),),
        ("tests/api/rules/test_firing.py",),
    ),
    Mutation(
        "a_rule_acts_though_somebody_was_faster",
        (Edit("api/rules/firing.py", "one.type in watched and not _is_own(one, firing)", "one.type in ()"),),
        ("tests/api/rules/test_firing.py",),
    ),
    Mutation(
        "events_are_judged_by_the_newest_version_of_a_rule",
        (Edit("api/rules/matching.py", "reversed(versions) if one.valid_from <= at", "reversed(versions) if at"),),
        ("tests/api/rules/test_firing.py",),
    ),
    Mutation(
        "published_amounts_are_not_compared",
        (
            Edit(
                "orchestration/mart_reconciliation.py",
                '        self.add(f"amount of {status} deals, {currency}, in minor units", amount_minor)',
                "        del currency, amount_minor",
            ),
        ),
        ("tests/orchestration/test_reconciliation.py::TestMarts",),
    ),
    Mutation(
        "a_key_may_do_what_its_scopes_do_not_say",
        (Edit("api/edge/dependencies.py", "if permission.scope not in caller.scopes:", "if not caller.scopes:"),),
        ("tests/api/access/test_permissions.py::test_a9_a_key_does_what_its_scopes_say_and_nothing_else",),
    ),
    Mutation(
        "a_revoked_key_goes_on",
        (
            Edit(
                "api/db/migrations/versions/0015_access.py",
                "and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())",
                "and (k.expires_at is null or k.expires_at > now())",
            ),
        ),
        ("tests/api/access/test_api_keys.py::test_a9_a_revoked_expired_or_altered_key_is_refused_at_once",),
    ),
    Mutation(
        "roles_are_not_held_against_the_matrix",
        (
            Edit(
                "api/edge/dependencies.py",
                "if caller.role not in (permission.roles if permission else roles):",
                "if caller.role not in roles:",
            ),
        ),
        ("tests/api/access/test_permissions.py::test_a10_each_role_may_do_what_the_matrix_says",),
    ),
    Mutation(
        "a_one_time_code_is_good_twice",
        (
            Edit(
                "api/identity/people.py",
                "and last_counter < :counter returning",
                "and last_counter <= :counter returning",
            ),
        ),
        (
            "tests/api/access/test_account.py::TestSecondFactor::test_a4_a_code_is_good_once_of_20_at_once_and_not_after_a_restart",
        ),
    ),
    Mutation(
        "limits_are_checked_then_set",
        (
            Edit(
                "api/db/migrations/versions/0015_access.py",
                "where greatest(r.tat, moment) + step <= moment + step * (in_bursts[i] + 1)",
                "where true",
            ),
        ),
        ("tests/api/access/test_limits.py::test_a11_of_500_at_once_no_more_pass_than_the_burst_and_what_refills",),
    ),
    Mutation(
        "the_audit_log_is_not_chained",
        (
            Edit(
                "api/audit/records.py",
                "or bytes(row.previous) != before or bytes(row.hash) != whole:",
                "or bytes(row.previous) != before:",
            ),
        ),
        ("tests/api/access/test_audit.py::test_a19_what_somebody_with_more_rights_changes_breaks_the_chain",),
    ),
    Mutation(
        "sealed_text_opens_in_any_row",
        (Edit("api/kernel/secrets.py", "organization_id.bytes + purpose.encode()", "organization_id.bytes"),),
        ("tests/api/test_secrets.py::test_a13_sealed_text_opens_in_its_own_row_and_organization_only",),
    ),
    Mutation(
        "a_changed_password_leaves_sign_ins",
        (Edit("api/identity/people.py", "if because else []", "if not because else []"),),
        ("tests/api/access/test_account.py::TestOwnPassword::test_a7_a_change_ends_all_sign_ins_everywhere",),
    ),
    Mutation(
        "distribution_lets_two_deals_have_one_turn",
        (
            Edit(
                "api/distribution/records.py",
                "    .limit(1)\n    .with_for_update(key_share=True)\n",
                "    .limit(1)\n",
            ),
        ),
        ("tests/api/crm/test_distribution.py::TestDeals::test_deals_made_at_once_neither_skip_nor_double_a_turn",),
    ),
    Mutation(
        "a_bulk_change_is_undone_over_later_changes",
        (
            Edit(
                "api/bulk/work.py",
                "    if locked.deal.version != item.version_after:\n",
                "    if locked.deal.version < 0:\n",
            ),
        ),
        ("tests/api/crm/test_bulk.py::TestWork::test_undo_restores_what_nobody_changed_since_and_says_what_it_left",),
    ),
    Mutation(
        "a_restored_deal_stays_forgotten",
        (
            Edit(
                "dbt_project/models/marts/sales/fct_deal_versions.sql",
                "'deal.deleted', 'deal.restored'",
                "'deal.deleted'",
            ),
        ),
        ("tests/metrics/test_sales_marts.py::test_a_restored_deal_counts_again_and_as_known_then_it_was_gone",),
    ),
    Mutation(
        "what_lies_in_the_bin_is_shown",
        (
            Edit(
                "api/db/migrations/versions/0045_bin_of_contacts.py",
                "(deleted_at is null or current_setting('sluice.bin', true) = 'open')",
                "(true)",
            ),
        ),
        ("tests/api/crm/test_recycle_bin.py::test_a_contact_in_the_bin_is_found_nowhere_and_frees_what_is_unique",),
    ),
    Mutation(
        "everybody_hashes_at_once",
        (Edit("api/edge/security.py", "asyncio.Semaphore(concurrency)", "asyncio.Semaphore(100 * concurrency)"),),
        ("tests/api/identity/test_sign_in.py::test_a1_two_hundred_sign_ins_at_once_hash_few_at_a_time",),
    ),
    Mutation(
        "what_lies_in_the_bin_is_referred_to_anew",
        (
            Edit(
                "api/kernel/links.py",
                "    if contact_id is not None or company_id is not None:\n",
                "    if not table:\n",
            ),
        ),
        ("tests/api/crm/test_recycle_bin.py::test_a_contact_in_the_bin_is_found_nowhere_and_frees_what_is_unique",),
    ),
    Mutation(
        "an_upload_is_read_to_its_end",
        (Edit("api/files/receiving.py", "            refuse(size)\n", ""),),
        ("tests/api/crm/test_files.py::test_what_nobody_has_room_for_is_refused_as_it_comes",),
    ),
    Mutation(
        "rows_go_though_nobody_asked",
        (
            Edit(
                "api/db/migrations/versions/0050_deletion_of_organizations.py",
                "    if not exists (\n",
                "    if false and not exists (\n",
            ),
        ),
        ("tests/api/privacy/test_deletion.py::test_nobody_forgets_an_organization_whose_deletion_has_not_begun",),
    ),
    Mutation(
        "people_outlive_their_organization",
        (Edit("api/privacy/forgetting.py", "people.forget(unit, list(found.people))", "people.forget(unit, [])"),),
        ("tests/api/privacy/test_deletion.py::test_t8_nothing_stays_of_an_organization_that_was_deleted",),
    ),
    Mutation(
        "raw_keeps_who_was_deleted",
        (Edit("ingest/forgetting.py", "removed = sink.forget(deleted)", "removed = len(deleted) - len(deleted)"),),
        ("tests/ingest/test_forgetting.py",),
    ),
    Mutation(
        "file_is_seen_by_whoever_knows_its_id",
        (Edit("api/files/records.py", '"owners": IS_SEEN,', '"owners": or_(IS_SEEN, FileRow.id == FileRow.id),'),),
        ("tests/api/crm/test_files.py::TestSeeing",),
    ),
)

#: What shows in every run of the tests that mutations are noticed; the others are of the long one.
QUICK = frozenset({"loader_takes_records_of_any_epoch"})
