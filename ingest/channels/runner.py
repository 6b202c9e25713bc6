"""Connectors as a process: finds the accounts that its keys let it see, holds each by a lease, and has them connected.

    ./sluice channels            all channels
    ./sluice channels --only email

An account whose lease is lost is disconnected at once: no session is ever used from two places. What fails is tried
again with growing pauses; an account that fails stops no other.
"""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from uuid import UUID, uuid4

import httpx

from contracts.settings import ChannelSettings
from ingest.channels import linkedin, mail, telegram, x
from ingest.channels.api import Api, Held, RefusedError

_log = logging.getLogger(__name__)

#: A connector keeps an account connected until it is cancelled, or raises what went wrong.
Connect = Callable[[Api, Held], Awaitable[None]]

CHANNELS: Mapping[str, Connect] = {
    "email": mail.connect,
    "telegram": telegram.connect,
    "x": x.connect,
    "linkedin": linkedin.connect,
}

_RENEW_SECONDS = 8.0
_LOOK_SECONDS = 3.0
_LONGEST_PAUSE = 60.0
#: Whoever was connected for so long begins with a short pause again.
_STEADY_SECONDS = 60.0
#: So often in a row nobody answered: people are told.
_TOLD_AFTER = 3


def run(stop: threading.Event, *only: str) -> None:
    """Connect accounts until `stop` is set.

    Raises:
        ValueError: there is no such channel.
    """
    if unknown := set(only) - set(CHANNELS):
        raise ValueError(f"no channel is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(CHANNELS))}")
    asyncio.run(connect_all(ChannelSettings(), stop, only or tuple(CHANNELS)))


async def connect_all(settings: ChannelSettings, stop: threading.Event, channels: tuple[str, ...]) -> None:
    """Serve every key's organization."""
    if not settings.channels_keys:
        _log.warning("SLUICE_CHANNELS_KEYS names no service key, so no account is connected")
    apis = [Api(settings.api_url, key.get_secret_value()) for key in settings.channels_keys]
    try:
        async with asyncio.TaskGroup() as group:
            for api in apis:
                group.create_task(Fleet(api, channels).keep(stop))
            group.create_task(asyncio.to_thread(stop.wait))
    finally:
        for api in apis:
            await api.close()


class Fleet:
    """The accounts of one organization that this process connects."""

    def __init__(self, api: Api, channels: tuple[str, ...]) -> None:
        self._api, self._channels = api, channels
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._running: dict[UUID, asyncio.Task[None]] = {}

    async def keep(self, stop: threading.Event) -> None:
        """Look for accounts until `stop` is set, then disconnect all."""
        try:
            while not stop.is_set():
                try:
                    await self.look()
                except (RefusedError, httpx.HTTPError) as error:
                    _log.warning("the API does not answer: %s", error)
                await _rest(_LOOK_SECONDS, stop)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def look(self) -> None:
        """Connect accounts that nobody connects yet."""
        self._running = {known: task for known, task in self._running.items() if not task.done()}
        for channel in self._channels:
            for account in await self._api.accounts(channel):
                known = UUID(account["id"])
                if known not in self._running:
                    self._running[known] = asyncio.create_task(self._hold(known, CHANNELS[channel]))

    async def _hold(self, account_id: UUID, connect: Connect) -> None:
        pause, failures = 1.0, 0
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                held = await self._api.lease(account_id, self._holder)
            except (RefusedError, httpx.HTTPError):
                return  # another connector has it, or it is gone; looked at again soon
            try:
                await self._connected(held, connect)
            except (RefusedError, httpx.HTTPError, OSError) as error:
                _log.warning("account %s: %s", account_id, error)
                if isinstance(error, RefusedError) and error.status in (404, 409):
                    return
                if not isinstance(error, RefusedError):
                    failures += 1
                    await self._tell(held, failures)
            except Exception:  # noqa: BLE001 # the edge of an account
                _log.exception("account %s failed", account_id)
            finally:
                with suppress(RefusedError, httpx.HTTPError):
                    await self._api.release(held)
            if clock() - began > _STEADY_SECONDS:
                pause, failures = 1.0, 0
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _tell(self, held: Held, failures: int) -> None:
        """That a provider does not answer is seen at the account, unless something worse is known of it."""
        with suppress(RefusedError, httpx.HTTPError):
            account = (await self._api.connection(held))["account"]
            is_said_to_work = account["state"] == "active" or account["reason"] is None
            if failures >= _TOLD_AFTER and is_said_to_work:
                await self._api.report(held, "limited", reason="unreachable")

    async def _connected(self, held: Held, connect: Connect) -> None:
        """The account connected for as long as it is ours."""
        work = asyncio.ensure_future(connect(self._api, held))
        lease = asyncio.create_task(self._renew(held))
        try:
            await asyncio.wait((work, lease), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, lease):
                task.cancel()
            results = await asyncio.gather(work, lease, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _renew(self, held: Held) -> None:
        """Go on holding the account; ends with an error when it is another's."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            again = await self._api.lease(held.id, self._holder)
            if again.epoch != held.epoch:
                raise RefusedError(409, "lease_lost", "the lease ran out before it was renewed")


async def _rest(seconds: float, stop: threading.Event) -> None:
    for _ in range(int(seconds / 0.3)):
        if stop.is_set():
            return
        await asyncio.sleep(0.3)
