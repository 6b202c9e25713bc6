"""Mutations at the edges: requests that arrive, files that are read, commands of operators."""

from tests.mutations.mutation import Edit, Mutation

EDGES = (
    Mutation(
        "a_body_may_trickle_for_ever",
        (
            Edit(
                "api/edge/hardening.py",
                "            async with asyncio.timeout(_PART_SECONDS):",
                "            async with asyncio.timeout(None):",
            ),
        ),
        ("tests/api/access/test_hardening.py::TestBodies::test_a_body_that_trickles_is_cut_off",),
    ),
    Mutation(
        "anybodys_body_is_read",
        (
            Edit(
                "api/edge/routing.py",
                "                    claims_of(request)  # nobody's body is read",
                "                    pass",
            ),
        ),
        ("tests/api/access/test_hardening.py::TestBodies::test_without_a_sign_in_no_byte_of_a_body_is_read",),
    ),
    Mutation(
        "answers_may_be_kept",
        (Edit("api/edge/hardening.py", '    (b"cache-control", b"no-store"),\n', ""),),
        ("tests/api/access/test_hardening.py::test_every_answer_says_that_it_is_not_kept_framed_or_guessed_at",),
    ),
    Mutation(
        "an_id_may_be_spelled_like_a_path",
        (
            Edit(
                "api/main.py",
                "frozenset(route.path for route in _routes(app) if not route.param_convertors)",
                "frozenset[str]()",
            ),
        ),
        ("tests/api/access/test_hardening.py::test_a_path_that_is_spelled_out_is_no_id",),
    ),
    Mutation(
        "proxies_read_the_installations_figures",
        (Edit("api/main.py", "    return not has_proxy and (", "    return ("),),
        (
            "tests/api/access/test_hardening.py::TestFiguresOfTheInstallation::test_only_this_machine_and_no_proxy_reads_them",
        ),
    ),
    Mutation(
        "any_three_letters_are_a_currency",
        (Edit("api/edge/fields.py", "    if code not in MINOR_DIGITS:", "    if not code:"),),
        ("tests/imports/test_left_behind.py::test_one_rule_for_money_and_instants_over_http_and_in_files",),
    ),
    Mutation(
        "any_two_letters_are_a_country",
        (
            Edit(
                "api/imports/values.py",
                "    bad = ~value.is_in([*COUNTRIES, *MISTAKEN])",
                '    bad = ~value.str.contains("^[A-Z]{2}$")',
            ),
        ),
        ("tests/imports/test_reading.py::test_a_country_is_one_of_iso_3166_and_advice_on_another_code_works",),
    ),
    Mutation(
        "a_wrong_weekday_is_overlooked",
        (Edit("api/imports/moments.py", ".dt.weekday() != weekday", ".dt.weekday() < 0"),),
        ("tests/imports/test_reading.py::test_a_date_that_names_another_weekday_is_an_error_of_its_row",),
    ),
    Mutation(
        "an_import_goes_to_whatever_answers",
        (
            Edit(
                "runtime/import_command.py",
                "        url = api_url or _own_stack()",
                '        url = api_url or "http://127.0.0.1:8000"',
            ),
        ),
        ("tests/runtime/test_home.py::TestImport::test_goes_to_the_stack_of_its_own_folder",),
    ),
    Mutation(
        "down_ends_whoever_has_the_pid",
        (
            Edit(
                "runtime/stack.py",
                "        if str(home.lock_file.resolve()) in opened:\n            return process",
                "        return process",
            ),
        ),
        ("tests/runtime/test_home.py::TestDown::test_spares_whoever_was_given_the_pid_of_one_that_crashed",),
    ),
    Mutation(
        "nobody_looks_at_the_scorer",
        (
            Edit(
                "runtime/health.py",
                "        if program is None or process.reports_to is None:",
                "        if process.reports_to is not None:",
            ),
        ),
        ("tests/runtime/test_health.py::TestScorer::test_dagster_is_not_well_while_its_scorer_fails_or_says_nothing",),
    ),
    Mutation(
        "a_list_in_json_is_one_key",
        (
            Edit(
                "contracts/settings_sources.py",
                "    return _listed(given) if _IS_JSON.match(given) else [",
                "    return [",
            ),
        ),
        ("tests/contracts/test_secrets_in_settings.py::TestLists",),
    ),
)
