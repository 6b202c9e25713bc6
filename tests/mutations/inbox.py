"""Breaks of what is promised of accounts, connectors, the ledger of completeness, and accounts that are let."""

from tests.mutations.mutation import Edit, Mutation

_CHANNELS, _CONVERSATIONS = "tests/channels", "tests/api/crm/test_conversations.py"
_RENTALS = "tests/api/test_rentals.py"

INBOX = (
    Mutation(
        "who_lost_the_lease_writes_on",
        (
            Edit(
                "api/bd_accounts/rules.py",
                "if epoch != account.epoch or account.lease_until is None or",
                "if account.lease_until is None or",
            ),
        ),
        (f"{_CONVERSATIONS}::TestTakingIn::test_a_connector_that_lost_its_lease_is_refused",),
    ),
    Mutation(
        "an_account_is_held_twice",
        (
            Edit(
                "api/bd_accounts/rules.py",
                "if lives and account.lease_holder != holder:",
                "if lives and account.lease_holder is None:",
            ),
        ),
        (f"{_CONVERSATIONS}::TestTakingIn::test_a_connector_that_lost_its_lease_is_refused",),
    ),
    Mutation(
        "a13_a_session_is_kept_as_it_is",
        (
            Edit(
                "api/bd_accounts/connectors.py",
                "sealed = secrets.seal(unit.context.organization_id, records.purpose_of(account_id), kept)",
                "sealed = kept.encode()",
            ),
        ),
        (f"{_CHANNELS}/test_mail.py::test_a13_the_password_is_nowhere_to_be_read",),
    ),
    Mutation(
        "the_ledger_misses_nothing",
        (
            Edit(
                "api/conversations/completeness.py",
                "missing = [one for one in wanted if one not in stored]",
                "missing = [one for one in wanted if one in stored and one not in stored]",
            ),
        ),
        (f"{_CHANNELS}/test_mail.py::test_one_of_100_that_was_dropped_is_noticed_and_healed",),
    ),
    Mutation(
        "f1_one_bad_message_stops_a_mailbox",
        (Edit("ingest/channels/api.py", "_CANNOT_BE_TAKEN = (413, 422)", "_CANNOT_BE_TAKEN = (413,)"),),
        (f"{_CHANNELS}/test_connectors.py::test_f1_a_message_that_cannot_be_taken_in_stops_no_other_and_is_told",),
    ),
    Mutation(
        "c5_whoever_connects_next_asks_within_the_wait",
        (Edit("ingest/channels/telegram.py", '    await wait_is_over(found["account"])\n', ""),),
        (f"{_CHANNELS}/test_telegram.py::test_c5_reading_waits_as_well_and_so_does_whoever_connects_next",),
    ),
    Mutation(
        "telegram_tells_a_send_by_another_id_each_time",
        (
            Edit(
                "ingest/channels/telegram_chats.py",
                'number = int.from_bytes(UUID(send_id).bytes[8:], "big") + place',
                'number = int.from_bytes(UUID(send_id).bytes[8:], "big") + place + datetime.now(UTC).microsecond',
            ),
        ),
        (f"{_CHANNELS}/test_telegram_business.py::test_c1_a_send_has_the_same_random_ids_whichever_connector_asks",),
    ),
    Mutation(
        "an_order_is_gone_on_with_by_whoever_stood_still",
        (
            Edit(
                "api/rentals/worker.py",
                "if known is None or await records.lock_rental(unit, known.id) != known:",
                "if known is None:",
            ),
        ),
        (
            f"{_RENTALS}::test_who_stands_still_for_longer_than_their_minute_changes_nothing_of_what_another_did",
            f"{_RENTALS}::test_who_comes_back_late_with_a_renewal_does_not_end_the_next_one",
        ),
    ),
    Mutation(
        "what_cannot_be_handed_over_is_not_paid_back",
        (
            Edit(
                "api/rentals/worker.py",
                "        if rental.state is RentalState.CANCELLING:\n",
                "        if rental.state is RentalState.RETURNING:\n",
            ),
        ),
        (f"{_RENTALS}::test_what_cannot_be_handed_over_is_undone_and_paid_back_wherever_the_worker_dies",),
    ),
    Mutation(
        "a12_any_page_opens_a_socket",
        (
            Edit(
                "api/live/endpoints.py",
                "return (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)",
                "return ours.scheme != theirs.netloc",
            ),
        ),
        ("tests/api/live/test_live.py::test_a12_foreign_pages_are_refused_ours_and_programs_are_not",),
    ),
)
