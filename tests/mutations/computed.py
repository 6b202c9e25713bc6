"""Mutations of computed fields: what an expression may be and tell, who defines it, and when values are kept."""

from tests.mutations.mutation import Edit, Mutation

_TESTS = "tests/api/crm/test_computed_fields.py"
_TOLD = f"{_TESTS}::TestKept::test_events_tell_what_is_not_personal_and_no_text_but_the_expressions_own"
_ANEW = f"{_TESTS}::TestChangedDefinition"
_REFUSED = "tests/api/crm/test_custom_fields.py::TestComputed::test_an_expression_that_cannot_be_is_refused"

COMPUTED = (
    Mutation(
        "an_expression_goes_through_lists_of_lists",
        (Edit("api/kernel/computed.py", "if lists_in(expression) > 1:", "if lists_in(expression) > 9:"),),
        (_REFUSED,),
    ),
    Mutation(
        "an_expression_is_as_long_as_anyone_likes",
        (Edit("api/kernel/computed.py", "LONGEST_EXPRESSION = 500", "LONGEST_EXPRESSION = 500_000"),),
        (f"{_TESTS}::test_an_expression_is_not_longer_than_it_may_be",),
    ),
    Mutation(
        "an_expression_is_the_same_for_all",
        (Edit("api/kernel/computed.py", "    if not names:\n", "    if names is None:\n"),),
        (_REFUSED,),
    ),
    Mutation(
        "reps_define_fields",
        (
            Edit(
                "api/edge/permissions.py",
                '("custom_fields:write", ADMINISTRATORS,',
                '("custom_fields:write", EVERYBODY,',
            ),
        ),
        (f"{_TESTS}::test_nobody_elses_records_are_computed",),
    ),
    Mutation(
        "what_is_computed_of_personal_fields_is_declared_harmless",
        (
            Edit(
                "api/custom_fields/rules.py",
                'if given["is_personal"] is False and _reads_personal(given, known):',
                'if given["is_personal"] is False and not _reads_personal(given, known):',
            ),
        ),
        (_TOLD,),
    ),
    Mutation(
        "events_tell_what_is_computed_of_personal_fields",
        (
            Edit(
                "api/kernel/computed.py",
                "expression is None or one.is_personal or is_personal(noun, expression, known):",
                "expression is None:",
            ),
        ),
        (_TOLD,),
    ),
    Mutation(
        "events_tell_computed_texts_that_people_wrote",
        (Edit("api/kernel/computed.py", "and value not in _literals(expression):", "and not value:"),),
        (f"{_TESTS}::test_events_tell_no_label_that_people_wrote",),
    ),
    Mutation(
        "what_speaks_of_now_is_kept",
        (
            Edit(
                "api/kernel/computed.py", 'if "now" in _variables(expression):', 'if "then" in _variables(expression):'
            ),
        ),
        (f"{_TESTS}::TestKept::test_what_speaks_of_now_is_told_but_kept_nowhere",),
    ),
    Mutation(
        "a_write_does_not_keep_what_is_computed",
        (Edit("api/kernel/database.py", "        await keep_up(unit)\n", "        assert keep_up\n"),),
        (
            f"{_TESTS}::TestKept::test_lists_are_narrowed_and_sorted_as_soon_as_a_record_is_written",
            f"{_TESTS}::test_a_move_a_bulk_of_moves_and_a_restore_keep_it_up",
        ),
    ),
    Mutation(
        "another_expression_leaves_values_as_they_were",
        (
            Edit(
                "api/custom_fields/rules.py",
                'looked_at = ("expression", "is_personal", "is_retired")',
                'looked_at = ("is_personal", "is_retired")',
            ),
        ),
        (f"{_ANEW}::test_all_records_are_computed_anew_in_the_background",),
    ),
    Mutation(
        "an_input_that_turns_personal_stays_told",
        (
            Edit(
                "api/custom_fields/rules.py",
                "(before.choices, before.is_personal) == (after.choices, after.is_personal):",
                "before.choices == after.choices:",
            ),
        ),
        (f"{_ANEW}::test_a_choice_called_otherwise_and_an_input_that_turns_personal_count",),
    ),
    Mutation(
        "values_are_computed_before_writers_who_know_nothing_have_ended",
        (Edit("api/custom_fields/worker.py", "if not rows or not rows[0].is_due:", "if not rows:"),),
        (f"{_ANEW}::test_waits_for_whoever_writes_without_knowing_of_it",),
    ),
    Mutation(
        "the_first_thousand_records_are_all",
        (Edit("api/custom_fields/worker.py", "    if len(done) < _SOME:\n", "    if done or not done:\n"),),
        (f"{_ANEW}::test_thousands_of_records_show_how_far_it_is",),
    ),
)
