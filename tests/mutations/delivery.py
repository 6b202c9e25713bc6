"""Mutations of the way from the event log to raw: relays, broker, loaders, reconciliation."""

from tests.mutations.mutation import Edit, Mutation

DELIVERY = (
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
        "a_repair_loses_the_rows_it_should_replace",
        (Edit("ingest/reconcile.py", "sink.amend(some, _blocks_of(log, some))", "sink.amend(some, iter([]))"),),
        (
            "tests/ingest/test_reconcile.py::TestRepair::test_g3_only_what_differs_is_replaced_and_a_second_look_is_clean",
        ),
    ),
)
