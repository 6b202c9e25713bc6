"""What operators do about who gets in: check the audit log's chain, hand out links where no mail is sent, and see which
organizations left.
"""

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import replace
from typing import Annotated, Any, TypeVar
from uuid import uuid4

import psycopg
import typer

from api.audit.records import Chain, verify
from api.bd_accounts.records import SEALED as SECRETS_OF_ACCOUNTS
from api.edge.services import Services, build_services
from api.identity.links import password_links
from api.identity.second_factor import SEALED as SEEDS_OF_CODES
from api.kernel.resealing import Resealed, reseal
from api.kernel.secrets import Secrets
from api.webhooks.sealing import SEALED as SECRETS_OF_WEBHOOKS
from contracts.settings import ApiSettings, DatabaseSettings, RelayDatabaseSettings
from runtime.home import Home, HomeError
from runtime.stack import lock_holder
from runtime.status import use_running_stack

T = TypeVar("T")

_DELETIONS = """
select organization_id, asked_at at time zone 'UTC', due_at at time zone 'UTC', finished_at at time zone 'UTC',
    warehouse_forgot_at, removed
from organization_deletions order by asked_at
"""

#: Every table that keeps what is sealed.
SEALED = (SEEDS_OF_CODES, SECRETS_OF_WEBHOOKS, SECRETS_OF_ACCOUNTS)

audit = typer.Typer(help="The log of who did what.", no_args_is_help=True)


@audit.callback()
def _audit() -> None:
    """Keep `verify` a verb of its own."""


@audit.command("verify")
def verify_command() -> None:
    """Compute the chain of every organization's audit log anew; exit with 1 where one is broken.

    The heads that it prints, kept elsewhere, also tell later of entries that were cut off at the end.
    """
    use_running_stack(unless_named="SLUICE_DATABASE_URL")
    chains = _with_services(lambda services: verify(services.database, correlation_id=uuid4()))
    for chain in chains:
        typer.echo(_told(chain))
    if any(chain.broken_at is not None for chain in chains):
        raise typer.Exit(1)


secret_key = typer.Typer(help="Change SLUICE_SECRET_KEY while everything goes on.", no_args_is_help=True)


@secret_key.command("rotate")
def rotate_command() -> None:
    """Give this home a new key, and keep the one before to open what it sealed; the stack must stand still.

    A deployment does the same by its settings: the new key into SLUICE_SECRET_KEY, the old one into
    SLUICE_SECRET_KEYS_BEFORE. Everybody signs in again.
    """
    home = Home.locate()
    if lock_holder(home) is not None:
        raise HomeError("Sluice runs with the present key. Stop it first: ./sluice down")
    known = home.secrets()
    before = ",".join(filter(None, (known.secret_key, known.secret_keys_before)))
    home.keep(replace(known, secret_key=secrets.token_urlsafe(32), secret_keys_before=before))
    typer.echo(
        "A new key from the next start on. After it, seal anew what the old one sealed: ./sluice secret-key reseal"
    )


@secret_key.command("reseal")
def reseal_command() -> None:
    """Seal with the newest key what an earlier one sealed; exit with 1 where something opens with none.

    Afterwards nothing needs the keys of SLUICE_SECRET_KEYS_BEFORE but links in mails to unsubscribe by.
    """
    use_running_stack(unless_named="SLUICE_DATABASE_URL")
    done: Resealed = _with_services(
        lambda services: reseal(services.database, Secrets.of(services.settings), SEALED, correlation_id=uuid4())
    )
    typer.echo(f"{done.anew:,} sealed anew, {done.already:,} had the newest key.")
    for table, key in done.broken:
        typer.echo(f"No key opens {table} {key}: add the one that sealed it to SLUICE_SECRET_KEYS_BEFORE.", err=True)
    if done.broken:
        raise typer.Exit(1)


def link_command(email: Annotated[str, typer.Argument(help="The address of whoever lost their password.")]) -> None:
    """Print links by which a person sets a new password: for installations that send no mail.

    Give them to the person themselves. Following one also counts as proof of the address.
    """
    use_running_stack(unless_named="SLUICE_DATABASE_URL")
    links = _with_services(lambda services: password_links(services, email))
    if not links:
        typer.echo("Nobody who is active has this address.", err=True)
        raise typer.Exit(1)
    for where, link in links:
        typer.echo(f"{where}: {link}")


def deletions_command() -> None:
    """List organizations that asked to be deleted or were: when, and how many rows went. Restored backups bring back
    what was deleted since; this list, kept elsewhere, says what to delete again.
    """
    use_running_stack(unless_named="SLUICE_DATABASE_RELAY_URL")
    url = RelayDatabaseSettings().database_relay_url.get_secret_value()
    with psycopg.connect(url, connect_timeout=5) as connection:
        found = connection.execute(_DELETIONS).fetchall()
    for organization_id, asked_at, due_at, finished_at, warehouse_forgot_at, removed in found:
        state = f"due {due_at:%Y-%m-%d %H:%M} UTC"
        if finished_at is not None:
            forgot = "forgotten by the warehouse" if warehouse_forgot_at else "the warehouse follows"
            state = f"deleted {finished_at:%Y-%m-%d %H:%M} UTC, {sum(removed.values()):,} rows, {forgot}"
        typer.echo(f"{organization_id}: asked {asked_at:%Y-%m-%d %H:%M} UTC, {state}")
    typer.echo(f"{len(found):,} organizations asked to be deleted.")


def _told(chain: Chain) -> str:
    if chain.broken_at is None:
        return f"{chain.organization_id}: {chain.entries:,} entries, whole; head {chain.head[:16] or '-'}"
    return f"{chain.organization_id}: BROKEN at entry {chain.broken_at}; the {chain.entries:,} before it are whole"


def _with_services(work: Any) -> Any:  # noqa: ANN401 # as the work answers
    async def run() -> Any:  # noqa: ANN401
        services: Services = build_services(ApiSettings(), DatabaseSettings(), warehouse=None)
        try:
            return await work(services)
        finally:
            await services.database.close()

    running: Coroutine[Any, Any, Any] = run()
    return asyncio.run(running)
