"""Mutations of what people are shown and told: pages, charts, mails, words of refusals."""

from tests.mutations.mutation import Edit, Mutation

SHOWN = (
    Mutation(
        "free_text_is_read_as_markdown",
        (Edit("dashboards/states.py", r'r"\\\1", apart)', r'r"\1", apart)'),),
        ("tests/dashboards/test_free_text.py::test_free_text_is_escaped",),
    ),
    Mutation(
        "a_name_turns_the_line_around",
        (Edit("contracts/texts.py", '    return _TURNING.sub("", text)', "    return text"),),
        ("tests/api/edge/test_mail.py::test_no_name_turns_the_line_that_it_stands_in",),
    ),
    Mutation(
        "what_is_not_there_is_none",
        (Edit("dashboards/tables.py", ", placeholder=money.NOTHING", ""),),
        ("tests/dashboards/test_views.py::test_what_is_not_there_is_a_dash_in_columns_of_numbers_too",),
    ),
    Mutation(
        "white_on_bright",
        (Edit("dashboards/.streamlit/config.toml", 'primaryColor = "#4fb5c0"', 'primaryColor = "#1f4a50"'),),
        ("tests/dashboards/test_charts.py::test_r33_what_is_written_on_buttons_is_read_in_both_themes",),
    ),
    Mutation(
        "a_heat_map_turns_where_nobody_can_read_it",
        (Edit("dashboards/charts.py", "_EQUAL = 0.179", "_EQUAL = 0.4"),),
        ("tests/dashboards/test_charts.py::test_r33_charts_are_told_apart_and_read_in_both_themes",),
    ),
    Mutation(
        "nothing_has_an_arrow",
        (Edit("dashboards/money.py", 'return f"{rounded:+} %" if rounded else None', 'return f"{rounded:+} %"'),),
        ("tests/dashboards/test_money.py::TestChange::test_r32_what_rounds_to_nothing_has_no_arrow",),
    ),
    Mutation(
        "a_young_cohort_is_red",
        (Edit("dashboards/views/funnel.py", '= "off" if young else "normal"', '= "normal"'),),
        ("tests/dashboards/test_analyse.py::test_r27_a_young_cohort_is_grey_and_said",),
    ),
    Mutation(
        "groups_vanish_without_a_word",
        (
            Edit(
                "dashboards/views/funnel.py",
                '(shown := cells["group_key"].nunique()) < len(answer.totals)',
                '(shown := cells["group_key"].nunique()) < 0',
            ),
        ),
        ("tests/dashboards/test_analyse.py::test_r29_what_does_not_fit_is_counted",),
    ),
    Mutation(
        "two_people_of_one_name_are_one",
        (Edit("dashboards/frames.py", "if count > 1}", "if count > 9}"),),
        ("tests/dashboards/test_charts.py::TestFunnel::test_two_people_of_one_name_are_two",),
    ),
    Mutation(
        "every_mistake_is_told",
        (Edit("api/edge/problems.py", "_MOST_ERRORS = 50", "_MOST_ERRORS = 50_000"),),
        ("tests/api/access/test_hardening.py::test_thousands_of_mistakes_are_told_briefly",),
    ),
    Mutation(
        "an_address_has_several_spellings",
        (
            Edit(
                "contracts/addresses.py",
                'normalize("NFKC", normalize("NFKC", email.strip()).casefold().lower())',
                "email.strip().lower()",
            ),
        ),
        ("tests/api/access/test_account.py::test_an_address_is_one_however_its_letters_are_composed",),
    ),
    Mutation(
        "a_rule_may_name_a_field_that_there_is_not",
        (
            Edit(
                "api/rules/endpoints.py",
                "await records.custom_samples(unit) if conditions.names_custom_fields(document) else None",
                "None",
            ),
        ),
        ("tests/api/rules/test_rules.py::test_a_condition_names_custom_fields_as_people_do",),
    ),
    Mutation(
        "a_user_is_made_of_a_name_turned_round",
        (Edit("api/imports/directory.py", '_SEVERAL = re.compile(r"[,;]")', '_SEVERAL = re.compile(r"[|]")'),),
        ("tests/imports/test_problems.py::test_a_name_turned_round_is_the_person_and_nobody_is_made_of_it",),
    ),
    Mutation(
        "figures_are_asked_of_the_ends_of_time",
        (
            Edit(
                "metrics/parameters.py",
                "Day = Annotated[date, Field(ge=_FIRST_DAY, le=_LAST_DAY)]",
                "Day = Annotated[date, Field()]",
            ),
        ),
        ("tests/metrics/test_registry.py::test_a_wrong_parameter_is_named",),
    ),
    Mutation(
        "a_probe_that_meets_no_http_ends_the_stack",
        (Edit("runtime/process.py", "except (OSError, http.client.HTTPException):", "except OSError:"),),
        ("tests/runtime/test_supervisor.py::test_r41_a_probe_that_meets_itself_or_no_http_is_no_answer",),
    ),
    Mutation(
        "logs_grow_for_ever",
        (Edit("runtime/process.py", "            os.truncate(self.log_path, 0)", "            return"),),
        ("tests/runtime/test_supervisor.py::test_a_log_that_has_grown_begins_anew_and_the_process_goes_on_writing",),
    ),
    Mutation(
        "a_full_disk_ends_the_supervisor",
        (
            Edit(
                "runtime/supervisor.py",
                "            except OSError as error:  # a full disk, no memory",
                "            except TimeoutError as error:  # a full disk, no memory",
            ),
        ),
        ("tests/runtime/test_home.py::TestFullDisk::test_the_supervisor_survives_it",),
    ),
    Mutation(
        "a_folders_name_is_a_piece_of_a_url",
        (
            Edit(
                "runtime/home.py",
                "    if _PLAIN.fullmatch(str(folder)):\n        return folder\n",
                "    if folder:\n        return folder\n",
            ),
        ),
        ("tests/runtime/test_home.py::TestAnyPath::test_programs_get_a_plain_name_for_the_same_folder",),
    ),
)
