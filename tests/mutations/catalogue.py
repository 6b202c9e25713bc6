"""The mutations: what each breaks, how, and which tests must notice. Texts are found exactly once, or the run fails."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One replacement in one file of the tree."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Mutation:
    """A break of one guarantee. `tests` are pytest node ids; at least one of them must fail."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


MUTATIONS = (
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
        "relay_keeps_a_cursor_instead_of_the_pending_flag",
        (
            Edit(
                "ingest/publishing.py", "if self._batches % _READ_FROM_START_EVERY == 0 or", "if self._batches < 0 or"
            ),
            Edit(
                "ingest/publishing.py",
                "self._after = events[-1].position if goes_on else 0",
                "self._after = events[-1].position if events else self._after",
            ),
        ),
        (
            "tests/ingest/test_relay.py::test_o2_commit_order_under_concurrent_interleaved_writers",
            "tests/ingest/test_relay.py::test_o4_an_open_write_transaction_holds_nobody_up",
        ),
    ),
    Mutation(
        "relay_ignores_who_owns_a_shard",
        (Edit("ingest/outbox.py", "and shard = any(%(shards)s) and", "and %(shards)s::int[] is not null and"),),
        ("tests/ingest/test_relay.py::test_o3_two_relays_share_the_shards_and_keep_order",),
    ),
    Mutation(
        "relay_reads_on_behind_what_a_new_shard_still_holds",
        (Edit("ingest/publishing.py", "or self.outbox.shards != self._shards:", "or self._batches < 0:"),),
        ("tests/ingest/test_publishing.py::test_o3_a_shard_taken_over_while_a_backlog_drains_is_read_from_its_start",),
    ),
    Mutation(
        "relay_reads_on_while_an_event_is_parked",
        (
            Edit(
                "ingest/publishing.py",
                "goes_on = len(events) == self.batch_size and not events[-1].is_any_parked",
                "goes_on = len(events) == self.batch_size",
            ),
        ),
        ("tests/ingest/test_publishing.py::test_o5_what_is_released_while_a_backlog_drains_overtakes_nothing",),
    ),
    Mutation(
        "relay_falls_silent_while_it_looks_for_a_marker",
        (Edit("ingest/epoch.py", "_EMPTY_SECONDS = 1.0", "_EMPTY_SECONDS = 9.0"),),
        ("tests/ingest/test_relay.py::test_o6_a_relay_keeps_its_leases_while_it_looks_for_a_marker_that_is_not_there",),
    ),
    Mutation(
        "marked_before_the_receipts_are_looked_at",
        (
            Edit(
                "ingest/publishing.py",
                "            self.outbox.mark(self.marker.epoch, published)\n",
                "            self.outbox.mark(self.marker.epoch, [Published(item.event.position, item.record.topic,"
                " item.record.partition, 0) for item in prepared])\n",
            ),
        ),
        ("tests/ingest/test_publishing.py::test_o1_an_unconfirmed_event_stays_pending_and_so_does_what_follows_it",),
    ),
    Mutation(
        "flush_without_a_look_at_the_futures",
        (
            Edit(
                "bus/producer.py",
                "outcomes = [_outcome(future, deadline) for future in futures]",
                "outcomes = [Receipt(record.partition, 0) for record in wave[: len(futures)]]",
            ),
        ),
        ("tests/bus/test_kafka.py::test_o7_a_dead_broker_is_a_failure_and_a_new_one_is_used",),
    ),
    Mutation(
        "relay_does_not_ask_for_the_newest_epoch",
        (
            Edit(
                "ingest/publishing.py",
                "if self.outbox.newest_epoch() != self.marker.epoch:",
                "if self.outbox.newest_epoch() is None:",
            ),
        ),
        ("tests/ingest/test_publishing.py::test_o6_receipts_of_a_broker_that_forgot_at_once_count_for_nothing",),
    ),
    Mutation(
        "receipts_of_a_broker_that_forgot_count",
        (Edit("ingest/publishing.py", "if not self.topic.is_intact(self.marker):", "if self.marker is None:"),),
        ("tests/ingest/test_publishing.py::test_o6_receipts_of_a_broker_that_forgot_at_once_count_for_nothing",),
    ),
    Mutation(
        "loader_takes_records_of_any_epoch",
        (
            Edit(
                "ingest/decoding.py",
                "is_own = verdicts[id(headers)] = _epoch_of(message, epoch) == epoch",
                "is_own = verdicts[id(headers)] = bool(_epoch_of(message, epoch))",
            ),
        ),
        ("tests/ingest/test_decoding.py::test_w4_records_of_another_epoch_are_not_loaded",),
    ),
    Mutation(
        "delta_sink_does_not_compare_offsets",
        (Edit("ingest/sinks/delta.py", "if stored != offsets.start:", "if stored < 0:"),),
        ("tests/ingest/test_loader.py::test_w1_a_replayed_batch_is_not_written_twice",),
    ),
    Mutation(
        "postgres_sink_does_not_compare_offsets",
        (
            Edit(
                "ingest/sinks/postgres.py",
                "if place in ranges and offset != ranges[place].start:",
                "if place in ranges and offset < 0:",
            ),
        ),
        ("tests/ingest/test_loader.py::test_w1_a_replayed_batch_is_not_written_twice",),
    ),
    Mutation(
        "delta_sink_commits_the_offsets_after_the_rows",
        (
            Edit(
                "ingest/sinks/delta.py",
                '                    mode="append",\n                    commit_properties=CommitProperties(app_tr',
                '                    mode="append",\n'
                "                )\n"
                "                write_deltalake(\n"
                "                    self._table,\n"
                "                    rows.select(list(FRAME_SCHEMA)).clear(),\n"
                '                    mode="append",\n                    commit_properties=CommitProperties(app_tr',
            ),
        ),
        ("tests/ingest/test_one_commit.py",),
    ),
    Mutation(
        "postgres_sink_commits_the_offsets_after_the_rows",
        (
            Edit(
                "ingest/sinks/postgres.py",
                "            _copy(connection, _TABLE, rows)\n            _set_offsets(connection, epoch, {",
                "            _copy(connection, _TABLE, rows)\n"
                "        with self._transaction() as connection:\n            _set_offsets(connection, epoch, {",
            ),
        ),
        ("tests/ingest/test_one_commit.py",),
    ),
    Mutation(
        "events_overtake_a_parked_one_of_their_aggregate",
        (
            Edit(
                "ingest/publishing.py",
                "if event.is_held or event.aggregate_id in stopped:",
                "if event.aggregate_id is None:",
            ),
        ),
        ("tests/ingest/test_relay.py::test_o5_poison_parks_one_aggregate_until_it_is_released",),
    ),
    Mutation(
        "breaker_counts_in_fixed_windows",
        (
            Edit(
                "bus/dead_letter.py",
                "while self._counts and self._counts[0][0] < now - self.window_seconds:",
                "while self._counts and self._counts[0][0] // self.window_seconds != now // self.window_seconds:",
            ),
        ),
        ("tests/bus/test_dead_letter.py",),
    ),
    Mutation(
        "deal_is_not_locked_before_its_event",
        (Edit("api/deals/records.py", "_bound(target, is_locked=True), events", "_bound(target), events"),),
        ("tests/api/crm/test_deals_move.py::TestAtOnce", "tests/api/crm/test_deals.py::TestUpdateDeal"),
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
        "reconcile_overlooks_events_that_postgresql_does_not_know",
        (
            Edit(
                "ingest/reconcile.py",
                "        extra=[event_id for event_id in found if event_id not in known],",
                "        extra=[],",
            ),
        ),
        (
            "tests/ingest/test_reconcile.py::TestRepair::test_g3_only_what_differs_is_replaced_and_a_second_look_is_clean",
        ),
    ),
    Mutation(
        "rebuild_forgets_what_dropped_partitions_of_the_outbox_said",
        (
            Edit(
                "ingest/rebuild.py",
                "from transport_progress where epoch = %(epoch)s",
                "from transport_progress where epoch = %(epoch)s and false",
            ),
        ),
        ("tests/ingest/test_reconcile.py::TestRebuild::test_w3_offsets_of_dropped_outbox_partitions_are_kept",),
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
        "a_repair_loses_the_rows_it_should_replace",
        (Edit("ingest/reconcile.py", "sink.amend(some, _blocks_of(log, some))", "sink.amend(some, iter([]))"),),
        (
            "tests/ingest/test_reconcile.py::TestRepair::test_g3_only_what_differs_is_replaced_and_a_second_look_is_clean",
        ),
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
)

#: What shows in every run of the tests that mutations are noticed; the others are of the long one.
QUICK = frozenset({"loader_takes_records_of_any_epoch"})
