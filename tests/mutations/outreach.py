"""Breaks of what is promised to those whom campaigns and drafts write to."""

from tests.mutations.mutation import Edit, Mutation

_CAMPAIGNS = "tests/api/campaigns/test_guarantees.py"
_DRAFTS = "tests/api/drafts"

OUTREACH = (
    Mutation(
        "c1_a_mail_that_may_have_gone_is_sent_again",
        (
            Edit(
                "api/conversations/sends.py",
                "SAFE_TO_REPEAT = frozenset({Channel.TELEGRAM})",
                "SAFE_TO_REPEAT = frozenset({Channel.TELEGRAM, Channel.EMAIL})",
            ),
        ),
        ("tests/api/campaigns/test_kill_sweep.py::test_c1_a_few_kills",),
    ),
    Mutation(
        "c2_a_claim_does_not_ask_who_opted_out",
        (
            Edit(
                "api/conversations/sending.py", "        if suppressed is not None:\n", '        if suppressed == "":\n'
            ),
        ),
        (f"{_CAMPAIGNS}::TestC2OptOut",),
    ),
    Mutation(
        "c3_looking_at_a_link_follows_it",
        (
            Edit(
                "api/campaigns/unsubscribing.py",
                "async def show_unsubscribing(token: Token, links: _Links) -> HTMLResponse:",
                "async def show_unsubscribing(token: Token, links: _Links, unit: Unit) -> HTMLResponse:",
            ),
            Edit(
                "api/campaigns/unsubscribing.py",
                '    return _page("Unsubscribe", "Press',
                '    await _end(unit, *links.read(token))\n    return _page("Unsubscribe", "Press',
            ),
        ),
        (f"{_CAMPAIGNS}::TestC3OneClick::test_c3_only_a_post_acts_and_it_needs_no_sign_in",),
    ),
    Mutation(
        "c3_anybody_signs_a_link",
        (
            Edit(
                "api/campaigns/links.py",
                "if not any(signer.matches(_PURPOSE, named, signature=signature) for signer in self._signers):",
                "if len(named) < _NAMED_BYTES or not signature:",
            ),
        ),
        (f"{_CAMPAIGNS}::TestC3OneClick::test_c3_a_link_that_is_not_ours_does_nothing",),
    ),
    Mutation(
        "c3_the_signature_leaves_out_the_way_out",
        (Edit("ingest/channels/signing.py", " list-unsubscribe list-unsubscribe-post", ""),),
        ("tests/api/campaigns/test_mails.py",),
    ),
    Mutation(
        "c6_a_draft_outlives_the_erasure_of_whom_it_is_about",
        (Edit("api/drafts/service.py", "await hold_erasures(unit) != erasures", "await hold_erasures(unit) < 0"),),
        (f"{_DRAFTS}/test_drafts.py::TestWho",),
    ),
    Mutation(
        "c6_what_was_queued_to_the_erased_goes_out",
        (
            Edit(
                "api/privacy/endpoints.py",
                "    await withdraw(unit, await records.queued_to(unit, contact_id))\n",
                "",
            ),
        ),
        (f"{_CAMPAIGNS}::test_c6_whoever_is_erased_gets_nothing_that_was_queued_and_nothing_more",),
    ),
    Mutation(
        "c4_what_is_queued_goes_at_night",
        (Edit("api/conversations/sends.py", "if send.hours is None or (window", "if send.hours or (window"),),
        (f"{_CAMPAIGNS}::TestC4QuietHours",),
    ),
    Mutation(
        "c5_an_account_that_must_wait_sends",
        (
            Edit(
                "api/conversations/sending.py",
                "may_begin = rest > 0 and account.state is AccountState.ACTIVE",
                "may_begin = rest > 0",
            ),
            Edit(
                "api/bd_accounts/rules.py",
                "return self.state in (AccountState.ACTIVE, AccountState.LIMITED)",
                "return self.state in (AccountState.ACTIVE, AccountState.LIMITED, AccountState.FLOOD_WAIT)",
            ),
        ),
        (f"{_CAMPAIGNS}::TestC5Floods::test_c5_an_account_that_must_wait_sends_nothing_and_others_go_on",),
    ),
    Mutation(
        "c5_a_full_mailbox_is_written_to_for_ever",
        (
            Edit(
                "api/conversations/suppressions.py", "count(distinct m.id) >= :most", "count(distinct m.id) > 9 * :most"
            ),
        ),
        (f"{_CAMPAIGNS}::TestC5Floods::test_c5_what_came_back_three_times_is_written_to_no_more",),
    ),
    Mutation(
        "c6_an_event_tells_an_address",
        (Edit("api/campaigns/unsubscribing.py", 'how="one_click"', "how=row.address"),),
        (f"{_CAMPAIGNS}::test_c6_events_of_campaigns_name_nobody",),
    ),
    Mutation(
        "a18_what_nobody_approved_is_sent",
        (
            Edit(
                "api/drafts/rules.py",
                "if draft.state is not DraftState.APPROVED or draft.approved_hash != draft.text_hash:",
                "if draft.state is DraftState.FAILED:",
            ),
        ),
        (f"{_DRAFTS}/test_drafts.py::TestLife",),
    ),
    Mutation(
        "a18_a_model_may_repeat_its_instructions",
        (Edit("api/drafts/cleaning.py", "    if repeats(text, canary):\n", "    if text == canary:\n"),),
        (f"{_DRAFTS}/test_injection.py::test_a18_what_repeats_its_instructions_is_thrown_away",),
    ),
    Mutation(
        "a18_links_may_lead_anywhere",
        (Edit("api/drafts/cleaning.py", "return link if is_web and host in hosts else REMOVED", "return link"),),
        (f"{_DRAFTS}/test_injection.py::test_only_allowed_links_and_plain_text_are_left",),
    ),
)
