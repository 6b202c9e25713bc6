"""Looking for what harms: a program or ClamAV's daemon sees each content before anybody else can.

Without one, nothing is looked through, and each file says so (`is_scanned`).
"""

import asyncio
import logging
import shlex
from pathlib import Path

from api.kernel.errors import Unavailable, Unprocessable
from contracts.settings import AttachmentSettings

_log = logging.getLogger(__name__)
_SECONDS = 60.0
_BLOCK = 1 << 16


class FileHarmful(Unprocessable):
    """The scanner found something harmful in the file."""

    code, detail, pointer = (
        "file_harmful",
        "The scanner found something harmful in this file. It was not kept.",
        "/file",
    )


class ScannerUnavailable(Unavailable):
    """The scanner does not answer; the same upload may work in a moment."""

    code = "scanner_unavailable"

    def __init__(self) -> None:
        super().__init__("The scanner does not answer, so that no file can be taken in. Try again in a moment.")


async def scan(path: Path, settings: AttachmentSettings) -> bool:
    """Have content looked through; answers whether anybody did.

    Raises:
        FileHarmful: something was found.
        ScannerUnavailable: nobody could look.
    """
    if not settings.file_scan_command and not settings.file_clamd:
        return False
    try:
        async with asyncio.timeout(_SECONDS):
            is_clean = await (_by_clamd if settings.file_clamd else _by_command)(path, settings)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        _log.warning("a file could not be scanned: %s", error or type(error).__name__)
        raise ScannerUnavailable from error
    if not is_clean:
        raise FileHarmful
    return True


async def _by_command(path: Path, settings: AttachmentSettings) -> bool:
    """As clamscan and its like answer: 0 is clean, 1 is not, all else is a failure."""
    process = await asyncio.create_subprocess_exec(
        *shlex.split(settings.file_scan_command or ""),
        str(path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code not in (0, 1):
        raise OSError(f"the scan command ended with {code}")
    return code == 0


async def _by_clamd(path: Path, settings: AttachmentSettings) -> bool:
    """ClamAV's INSTREAM: content in blocks, each behind its length."""
    host, _, port = (settings.file_clamd or "").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"zINSTREAM\0")
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                writer.write(len(block).to_bytes(4, "big") + block)
                await writer.drain()
        writer.write(bytes(4))
        await writer.drain()
        answer = (await reader.readuntil(b"\0")).rstrip(b"\0")
    finally:
        writer.close()
    if answer.endswith(b" FOUND"):
        return False
    if not answer.endswith(b" OK"):
        raise OSError(f"clamd answered {answer[:100]!r}")
    return True
