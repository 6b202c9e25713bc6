"""Payments for single things: once for a key, whatever is lost or dies on the way, and given back whole."""

from contextlib import nullcontext

import pytest

from api.billing.payments import Payment, PaymentDeclined, Payments
from api.billing.provider import BillingUnavailable, RefusedByStripe
from tests.api.billing.conftest import Till, settings_of
from tests.stripe_server import one_off
from tests.stripe_server.account import Object, RefusedError, StripeAccount

WHAT = "Telegram account, a month"


async def _charge(till: Till, key: str = "rent:1", amount: int = 900, *, api_role: bool = False) -> Payment:
    organization_id = till.owner.organization_id
    database = till.owner.api.app.state.services.database if api_role else till.pool
    payments = Payments(database, till.settings)
    return await payments.charge(organization_id, key=key, amount_minor=amount, currency="USD", what=WHAT)


async def _refund(till: Till, payment: Payment) -> None:
    payments = Payments(till.pool, till.settings)
    await payments.refund(till.owner.organization_id, payment.payment_id, key="rent:1")


def _paid(till: Till) -> list[Object]:
    single = [one for one in till.stripe.account.all("invoice") if one["parent"] is None]
    return [one for one in single if one["status"] == "paid"]


async def test_a_payment_is_an_invoice_of_its_own_and_a_repeated_one_is_the_same(till: Till) -> None:
    await till.subscribe(seats=2)
    payment = await _charge(till)
    till.stripe.kept.clear()  # Stripe forgets keys after a day
    assert await _charge(till, api_role=True) == payment
    assert [one["total"] for one in _paid(till)] == [900]
    await till.settle()
    newest, _ = (await till.owner.read("/v1/billing/invoices"))["items"]
    assert (newest["total_minor"], newest["status"], newest["seats"]) == (900, "paid", 0)
    assert newest["lines"][0]["description"] == WHAT


@pytest.mark.parametrize("step", range(7))
async def test_whichever_answer_is_lost_it_is_paid_once(till: Till, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.billing.provider._RETRIES", 0)
    await till.subscribe(seats=2)
    already = len(till.stripe.requests)
    till.stripe.losing = already + step
    with pytest.raises(BillingUnavailable):
        await _charge(till)
    till.stripe.kept.clear()
    assert (await _charge(till)).payment_id is not None
    [invoice] = _paid(till)
    assert (invoice["total"], len(invoice["lines"]["data"])) == (900, 1)


async def test_a_refused_card_owes_nothing(till: Till) -> None:
    await till.subscribe(seats=2)
    till.stripe.account.refused.add(till.stripe.account.all("customer")[0]["id"])
    with pytest.raises(PaymentDeclined, match="declined"):
        await _charge(till)
    assert till.stripe.account.all("invoice")[0]["status"] == "void"
    till.stripe.account.refused.clear()
    with pytest.raises(PaymentDeclined):
        await _charge(till)
    assert (await _charge(till, "rent:2")).payment_id is not None


@pytest.mark.parametrize("is_paid", [True, False])
async def test_what_is_refused_is_paid_on_its_page_meanwhile_or_owed_by_nobody(
    till: Till, is_paid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(account: StripeAccount, invoice_id: str, _: Object) -> Object:
        if is_paid:
            account.settle(account.find(invoice_id, "invoice"))
        raise RefusedError("Not like this.")

    await till.subscribe(seats=2)
    monkeypatch.setattr(one_off, "pay", refuse)
    with nullcontext() if is_paid else pytest.raises(RefusedByStripe):
        assert (await _charge(till)).payment_id is not None
    assert till.stripe.account.all("invoice")[0]["status"] == ("paid" if is_paid else "void")


async def test_without_a_card_it_says_where_to_give_one(till: Till) -> None:
    with pytest.raises(PaymentDeclined, match=r"no card.*Plan and seats"):
        await _charge(till)


async def test_a_key_stands_for_one_amount(till: Till) -> None:
    await till.subscribe(seats=2)
    await _charge(till)
    with pytest.raises(Exception, match="another amount"):
        await _charge(till, amount=901)


async def test_money_comes_back_once_and_whole(till: Till) -> None:
    await till.subscribe(seats=2)
    payment = await _charge(till)
    await _refund(till, payment)
    till.stripe.kept.clear()
    await _refund(till, payment)
    assert [note["amount"] for note in till.stripe.account.all("credit_note")] == [900]


async def test_money_whose_payment_nobody_noted_comes_back_as_well(till: Till) -> None:
    await _refund(till, Payment(None, 900, "USD"))
    await till.subscribe(seats=2)
    await _refund(till, Payment(None, 900, "USD"))
    payment = await _charge(till)
    await _refund(till, Payment(None, 900, "USD"))
    [note] = till.stripe.account.all("credit_note")
    assert (note["amount"], note["invoice"]) == (900, payment.payment_id)


async def test_where_billing_is_off_nothing_is_charged(till: Till) -> None:
    till.settings = settings_of(till.stripe, stripe_secret_key=None)
    payment = await _charge(till)
    assert payment == Payment(None, 900, "USD")
    await _refund(till, payment)


async def test_what_keeps_failing_is_left_alone(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.billing.provider._RETRIES", 0)
    till.stripe.is_down = True
    for _ in range(7):
        with pytest.raises(BillingUnavailable):
            await _charge(till)
    asked = [path for _, path, _ in till.stripe.requests if path == "/v1/customers"]
    assert len(asked) == 5
