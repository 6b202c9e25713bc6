"""Mutations of who gets in, what they see, and how the API keeps its word: guards of T-, A- and P-."""

from tests.mutations.mutation import Edit, Mutation

_SIGN_IN = "tests/api/identity/test_sign_in.py"
_ACCOUNT = "tests/api/access/test_account.py"
_TENANCY = "tests/api/test_tenancy.py"
_CONVENTIONS = "tests/api/test_conventions.py"
_PROVIDERS = "tests/oidc/test_sign_in_by_provider.py"

ACCESS = (
    Mutation(
        "row_level_security_lets_everything_through",
        (
            Edit(
                "api/db/tenancy.py",
                "    using ({column} = {CURRENT_ORGANIZATION})\n",
                "    using ({column} is not null)\n",
            ),
        ),
        (f"{_TENANCY}::test_t5_a_forgotten_filter_shows_only_ones_own_rows",),
    ),
    Mutation(
        "a_read_forgets_the_organization_in_both_places",
        (
            Edit(
                "api/db/tenancy.py",
                "    using ({column} = {CURRENT_ORGANIZATION})\n",
                "    using ({column} is not null)\n",
            ),
            Edit(
                "api/kernel/records.py",
                'select(self.model).where(self.model.organization_id == bindparam("organization_id"))',
                "select(self.model)",
            ),
        ),
        (
            f"{_TENANCY}::test_t2_another_tenants_id_in_a_path_is_404",
            f"{_TENANCY}::test_t3_nothing_of_a_tenant_shows_in_anothers_lists",
        ),
    ),
    Mutation(
        "an_address_of_another_tenant_is_taken",
        (
            Edit(
                "api/db/migrations/versions/0001_foundation.py",
                "create unique index uq_users_email on users (organization_id, lower(email));",
                "create unique index uq_users_email on users (lower(email));",
            ),
        ),
        (f"{_TENANCY}::test_t6_an_address_or_key_of_another_tenant_is_as_good_as_new",),
    ),
    Mutation(
        "an_id_of_another_tenants_system_is_taken",
        (
            Edit(
                "api/db/migrations/versions/0002_crm.py",
                "uq_companies_external_id on companies (organization_id, external_id)",
                "uq_companies_external_id on companies (external_id)",
            ),
        ),
        (f"{_TENANCY}::test_t6_what_another_tenant_has_takes_neither_other_statements_nor_another_time",),
    ),
    Mutation(
        "row_level_security_is_not_forced",
        (Edit("api/db/tenancy.py", "alter table {table} force row level security;\n", ""),),
        ("tests/api/test_catalogue.py::test_t1_tenant_tables_force_row_level_security_and_belong_to_the_owner_role",),
    ),
    Mutation(
        "metrics_count_everybodys",
        (
            Edit(
                "metrics/compile.py",
                "where = [f\"organization_id = {self.bind(self._organization_id, 'uuid')}\", *conditions]",
                "where = [f\"organization_id <> {self.bind(self._organization_id, 'uuid')} or true\", *conditions]",
            ),
        ),
        ("tests/api/metrics/test_metrics.py::TestWhoSeesWhat::test_t7_another_organization_gets_nothing",),
    ),
    Mutation(
        "any_password_is_taken",
        (Edit("api/identity/passwords.py", "if lowered in _COMMON or lowered in", "if lowered in"),),
        (f"{_SIGN_IN}::TestSignUp::test_a1b_refuses_weak_passwords",),
    ),
    Mutation(
        "an_unknown_address_is_answered_without_the_work",
        (
            Edit(
                "api/identity/sign_in.py",
                "    email = spelled(body.email)\n    await _require_allowed_for",
                "    email = spelled(body.email)\n    async with services.database.reading(None) as unit:\n"
                "        if not await people.places_of(unit, email):\n            raise WrongCredentials\n"
                "    await _require_allowed_for",
            ),
        ),
        (f"{_SIGN_IN}::TestSignIn::test_a2_an_unknown_address_costs_the_same_work",),
    ),
    Mutation(
        "whoever_attacks_an_account_locks_its_owner_out",
        (
            Edit(
                "api/identity/sign_in.py",
                'account = _HERE.of(f"{email}\\n{client.address}") if is_known else',
                "account =",
            ),
        ),
        (
            "tests/api/access/test_limits.py::test_a3_whoever_guesses_is_stopped_and_the_owner_still_gets_in_from_where_they_were",
        ),
    ),
    Mutation(
        "a_code_is_good_again",
        (
            Edit(
                "api/identity/people.py",
                "where person_id = :person_id and last_counter < :counter returning person_id",
                "where person_id = :person_id and last_counter < :counter + 1 returning person_id",
            ),
        ),
        (f"{_ACCOUNT}::TestSecondFactor::test_a4_a_code_is_good_once_of_20_at_once_and_not_after_a_restart",),
    ),
    Mutation(
        "an_old_refresh_token_goes_on",
        (
            Edit(
                "api/identity/rules.py",
                "if generation == sign_in.generation - 1 and now - sign_in.rotated_at <= grace:",
                "if generation <= sign_in.generation - 1 and now - sign_in.rotated_at <= grace:",
            ),
        ),
        (f"{_SIGN_IN}::TestRefresh::test_a6_an_old_token_ends_the_sign_in_with_its_access_token",),
    ),
    Mutation(
        "limits_count_no_more_than_one_at_a_time",
        (
            Edit(
                "api/db/migrations/versions/0015_access.py",
                "where greatest(r.tat, moment) + step <= moment + step * (in_bursts[i] + 1)",
                "where greatest(r.tat, moment) + step <= moment + step * (10 * in_bursts[i] + 1)",
            ),
        ),
        ("tests/api/access/test_limits.py::test_a11_of_500_at_once_no_more_pass_than_the_burst_and_what_refills",),
    ),
    Mutation(
        "one_private_address_among_public_ones_is_called",
        (
            Edit(
                "api/edge/outgoing.py",
                "if not all(is_public(one, allow=self._allow) for one in found):",
                "if not any(is_public(one, allow=self._allow) for one in found):",
            ),
        ),
        ("tests/api/edge/test_outgoing.py::test_a14_one_private_address_among_public_ones_is_enough_to_refuse",),
    ),
    Mutation(
        "a_receiver_that_is_gone_is_called_on",
        (
            Edit(
                "api/webhooks/rules.py",
                "if webhook.state is WebhookState.ACTIVE and _is_gone(outcome):",
                "if webhook.state is WebhookState.DISABLED and _is_gone(outcome):",
            ),
        ),
        ("tests/api/webhooks/test_webhooks.py::test_a15_410_disables_at_once_and_tells_administrators",),
    ),
    Mutation(
        "exports_hold_formulas",
        (Edit("api/edge/cells.py", 'return f"\'{cell}" if is_risky else cell', "return cell if is_risky else cell"),),
        ("tests/imports/test_round_trip.py::test_a17_every_format_holds_every_row_and_no_formula",),
    ),
    Mutation(
        "a_file_is_imported_twice",
        (
            Edit(
                "api/imports/relation_rows.py",
                'same = by_email.get(row["email"], []) if row["email"] else by_name',
                'same: Sequence[Found] = [] if row["email"] else by_name',
            ),
        ),
        ("tests/imports/test_history.py::TestKnownDeals::test_p2_people_and_companies_are_known_again",),
    ),
    Mutation(
        "a_change_does_not_look_at_the_version",
        (
            Edit(
                "api/kernel/changes.py",
                'if version is not None and getattr(state, "version", None) != version:',
                'if version is not None and getattr(state, "version", None) is None:',
            ),
        ),
        (f"{_CONVENTIONS}::TestPrecondition::test_p3_of_50_parallel_patches_one_wins",),
    ),
    Mutation(
        "a_page_begins_with_the_last_row_of_the_one_before",
        (
            Edit(
                "api/kernel/filters.py",
                "query = query.where(here < there if is_descending else here > there)",
                "query = query.where(here <= there if is_descending else here >= there)",
            ),
        ),
        (
            f"{_CONVENTIONS}::TestPages::test_p4_every_row_that_stays_is_seen_once_while_others_write",
            "tests/api/crm/test_filters.py::test_p4_sorted_pages_hold_each_row_once",
        ),
    ),
    Mutation(
        "cursors_are_not_signed",
        (
            Edit(
                "api/edge/pages.py",
                "if signature != self._signer.sign(_PURPOSE, self._list + payload)[:_SIGNATURE_BYTES] or not payload:",
                "if not signature or not payload:",
            ),
        ),
        (f"{_CONVENTIONS}::TestPages::test_p4_a_tampered_or_foreign_cursor_is_400",),
    ),
    Mutation(
        "an_address_that_the_provider_did_not_verify_counts",
        (
            Edit(
                "api/edge/oidc.py",
                'claims.get("email") if claims.get("email_verified") is True else None',
                'claims.get("email")',
            ),
        ),
        (f"{_PROVIDERS}::test_a8_an_address_that_the_provider_has_not_verified_opens_and_links_nothing",),
    ),
    Mutation(
        "a_sign_in_that_another_browser_began_is_finished",
        (
            Edit(
                "api/edge/oidc.py",
                "if not hmac.compare_digest(ticket.state.encode(), state.encode()):",
                'if hmac.compare_digest(b"", state.encode()):',
            ),
        ),
        (f"{_PROVIDERS}::TestAttacks::test_a8_a_code_works_once_and_in_its_own_browser_alone",),
    ),
    Mutation(
        "a_key_is_good_for_any_request",
        (Edit("api/edge/idempotency.py", "if found.fingerprint != self.fingerprint:", "if not found.fingerprint:"),),
        (f"{_CONVENTIONS}::TestIdempotencyKey::test_p1_the_same_key_for_another_request_is_422",),
    ),
    Mutation(
        "a_deal_is_moved_from_where_it_was_read",
        (Edit("api/deals/records.py", "query.with_for_update(of=DealRow) if is_locked else query", "query"),),
        (
            "tests/api/crm/test_deals_move.py::TestAtOnce::test_p7_who_waits_for_a_deal_sees_what_the_one_before_made_of_it",
        ),
    ),
    Mutation(
        "days_begin_in_utc",
        (
            Edit(
                "orchestration/build/time_zones.py",
                "return instant.astimezone(zone).utcoffset() or timedelta()",
                "return instant.utcoffset() or timedelta(0 if zone else 1)",
            ),
        ),
        ("tests/dbt_project/test_time_zones.py::test_p6_days_are_cut_by_one_time_zone_database",),
    ),
    Mutation(
        "lines_are_cut_off_instead_of_rounded",
        (Edit("api/deals/lines.py", "rounding=ROUND_HALF_UP", 'rounding="ROUND_DOWN"'),),
        ("tests/api/crm/test_products.py::TestLines::test_p5_their_sum_is_the_deals_amount_to_the_cent",),
    ),
    Mutation(
        "a_computed_field_is_filled",
        (
            Edit(
                "api/kernel/custom.py",
                '    raise ValueError("is computed: leave it out.")',
                "    return None",
            ),
        ),
        (
            "tests/api/crm/test_custom_fields.py::TestComputed::test_is_told_wherever_the_record_is_and_filled_by_nobody",
        ),
    ),
)
