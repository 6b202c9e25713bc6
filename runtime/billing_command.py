"""`./sluice billing`: what an operator does about Stripe."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from api.billing.catalogue import set_up
from api.billing.provider import Provider
from api.billing.reconcile import Reconciled, reconcile
from api.kernel.database import Database
from api.kernel.errors import CrmError
from contracts.settings import BillingSettings, WorkerDatabaseSettings
from runtime.status import use_running_stack

app = typer.Typer(no_args_is_help=True, help="Prices at Stripe, and whether both sides agree.")

T = TypeVar("T")


class BillingError(RuntimeError):
    """It cannot be done: says why."""


@app.command("setup")
def setup() -> None:
    """Make the prices of our plans and of use beyond them, and the meters, where Stripe lacks them."""
    made = _at_stripe(lambda provider, _: set_up(provider))
    print(f"made {', '.join(made)}" if made else "all prices and meters are there")


@app.command("reconcile")
def compare(as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Compare subscriptions, invoices and use with what Stripe has, and repair what differs of the first two."""
    done = _at_stripe(_reconcile)
    if as_json:
        print(json.dumps(vars(done)))
        return
    print(f"{done.compared} compared, {len(done.repaired)} repaired, {done.foreign} of others at the same account")
    for line in (*done.repaired, *done.usage):
        print(f"  {line}")


async def _reconcile(provider: Provider, settings: BillingSettings) -> Reconciled:
    database = Database(WorkerDatabaseSettings().database_worker_url.get_secret_value(), pool_size=2)
    try:
        return await reconcile(database, provider, settings)
    finally:
        await database.close()


def _at_stripe(act: Callable[[Provider, BillingSettings], Awaitable[T]]) -> T:
    use_running_stack(unless_named="SLUICE_DATABASE_WORKER_URL")

    async def run() -> T:
        settings = BillingSettings()
        async with Provider(settings) as provider:
            return await act(provider, settings)

    try:
        return asyncio.run(run())
    except CrmError as error:
        raise BillingError(error.detail) from error
