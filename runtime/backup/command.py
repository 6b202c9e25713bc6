"""The verbs `backup` and `restore`: what a person says and sees."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.settings import BackupSettings, FileSettings, KafkaSettings, RelayDatabaseSettings, WarehouseSettings
from runtime.backup.base import make_base_backup
from runtime.backup.folder import BackupFolder, Target, as_text
from runtime.backup.restore import finish_restore, restore_embedded, restore_into
from runtime.backup.server import BackupError
from runtime.bars import bars
from runtime.home import Home
from runtime.stack import backup_path
from runtime.status import use_running_stack

console = Console(highlight=False, soft_wrap=True)

_URL = "SLUICE_DATABASE_BACKUP_URL"


def backup(
    *,
    to: Annotated[Path | None, typer.Option(help="Another folder than the archive's.")] = None,
    keep: Annotated[int | None, typer.Option(min=1, help="Base backups to keep.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Only say what there is.")] = False,
) -> None:
    """Copy PostgreSQL, verify the copy, remove old ones. The archive process adds every write after it."""
    if show:
        _list(BackupFolder(to.absolute() if to else _folder()))
        return
    stack = use_running_stack(unless_named=_URL)
    settings = BackupSettings()
    folder = BackupFolder((to or settings.backup_path).absolute())
    with bars(console, counted=False) as advance:
        made = make_base_backup(
            settings.database_backup_url.get_secret_value(),
            folder,
            files=FileSettings().files_path,
            secrets=stack.home.secrets_file if stack else None,
            progress=partial(advance, "copying"),
        )
    removed = folder.prune(keep or settings.backup_keep)
    manifest = made.manifest
    seconds = (manifest.finished_at - manifest.started_at).total_seconds()
    console.print(f"{made.path}: {manifest.size_bytes / 1e6:,.0f} MB in {seconds:.1f} s, verified")
    if to is not None:
        console.print(f"Log goes on in {settings.backup_path.absolute()}: this copy restores to its own end.")
    if manifest.has_secrets:
        console.print("It holds passwords and the secret key: keep it as safe as the database.")
    if removed:
        console.print(f"removed {len(removed)} older: {', '.join(removed)}")


def restore(
    *,
    source: Annotated[Path | None, typer.Option("--from", help="Folder of backups.")] = None,
    at: Annotated[str | None, typer.Option(help="To this instant, for example 2026-05-01T09:30:00Z.")] = None,
    latest: Annotated[bool, typer.Option("--latest", help="To the last write that was archived.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    into: Annotated[
        Path | None, typer.Option(help="Make a data folder for a PostgreSQL of your own, and touch nothing else.")
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="After PostgreSQL was restored by other means: Kafka and warehouse follow.")
    ] = False,
) -> None:
    """Take PostgreSQL back to an instant, and the warehouse with it. The present data are kept aside."""
    if finish:
        _finish()
        return
    instant = _instant(at, latest=latest)
    folder = BackupFolder(source.absolute() if source else _folder())
    confirm = _asker(yes=yes, into=into)
    with bars(console, counted=False) as advance:
        if into is None:
            restored = restore_embedded(
                Home.locate(), folder, instant, say=console.print, progress=advance, confirm=confirm
            )
            contents: object = restored.contents
        else:
            contents = restore_into(
                into.absolute(), folder, instant, say=console.print, progress=advance, confirm=confirm
            )
    console.print(f"restored: {contents}")
    if into is None:
        for path in restored.kept:
            console.print(f"the former data are in {path}; remove them when you no longer need them")
        console.print("Start with ./sluice up: it builds the figures anew.")
    else:
        console.print(
            f"{into} is ready for PostgreSQL. Start it there, then: ./sluice migrate; ./sluice restore --finish"
        )


def _finish() -> None:
    url = RelayDatabaseSettings().database_relay_url.get_secret_value()
    with bars(console, counted=False) as advance:
        finish_restore(
            url, KafkaSettings(), WarehouseSettings(), say=console.print,
            progress=partial(advance, "rebuilding"),
        )  # fmt: skip
    console.print("done: start relay, loader, refresh and Dagster; the refresh builds all figures anew")


def _list(folder: BackupFolder) -> None:
    backups = folder.backups()
    if not backups:
        console.print(f"There is no backup in {folder.path}. ./sluice backup makes one.")
        return
    for one in backups:
        reach = folder.reach_of(one)
        manifest = one.manifest
        gap = " (then a log segment is missing)" if reach.run.missing is not None else ""
        console.print(
            f"{manifest.name}: any instant from {as_text(manifest.finished_at)} until {as_text(reach.end_at)}{gap}\n"
            f"  {manifest.size_bytes / 1e6:,.0f} MB, PostgreSQL {manifest.server_version}, schema"
            f" {manifest.migrations_head}, timeline {manifest.timeline}",
        )


def _instant(at: str | None, *, latest: bool) -> datetime | None:
    if (at is None) != latest:
        raise BackupError("Say where to: --at 2026-05-01T09:30:00Z, or --latest.")
    if at is None:
        return None
    try:
        instant = datetime.fromisoformat(at)
    except ValueError as error:
        raise BackupError(f"{at!r} is no instant; one looks like 2026-05-01T09:30:00Z.") from error
    if instant.tzinfo is None:
        raise BackupError(f"{at!r} has no time zone: add Z for UTC, or an offset such as +02:00.")
    return instant.astimezone(UTC)


def _asker(*, yes: bool, into: Path | None) -> Callable[[Target], None]:
    def ask(target: Target) -> None:
        where = f"into {into}" if into else "in place of the present data, which are kept aside"
        console.print(f"to {as_text(target.at or target.end_at)} from {target.backup.path}, {where}")
        if not yes and not typer.confirm("Go on?"):
            raise BackupError("Nothing was changed.")

    return ask


def _folder() -> Path:
    return backup_path(Home.locate())
