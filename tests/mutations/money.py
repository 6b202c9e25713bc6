"""Mutations of billing: what is believed of Stripe, and what is paid how often."""

from tests.mutations.mutation import Edit, Mutation

_DELIVERIES = "tests/api/billing/test_deliveries.py"

MONEY = (
    Mutation(
        "deliveries_of_the_future_are_believed",
        (Edit("api/billing/deliveries.py", "    if age < -TOLERANCE:", "    if age < -TOLERANCE and not header:"),),
        (f"{_DELIVERIES}::TestSignature::test_a16_stale_and_future_stamps_are_refused",),
    ),
    Mutation(
        "what_has_ended_is_revived",
        (Edit("api/billing/rules.py", "    if known.ended_at is not None or seen", "    if seen"),),
        (f"{_DELIVERIES}::test_a16_what_has_ended_is_not_revived_by_a_late_delivery",),
    ),
    Mutation(
        "a_payment_is_not_looked_for_before_it_is_made",
        (Edit("api/billing/payments.py", "await self.found() or await self._made", "await self._made"),),
        ("tests/api/billing/test_payments.py::test_whichever_answer_is_lost_it_is_paid_once",),
    ),
)
