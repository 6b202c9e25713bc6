"""The worker of billing in a process that a test kills: each line that comes in kills it, and another one begins."""

import asyncio
import os
import signal
import sys
import threading

from api.billing.worker import run
from api.kernel.database import Database


async def _learn(url: str) -> None:
    await run(Database(url, pool_size=2), threading.Event())


def main() -> None:
    """Have a child learn until it is told otherwise."""
    while True:
        child = os.fork()
        if child == 0:
            asyncio.run(_learn(sys.argv[1]))
        line = sys.stdin.readline()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if not line:
            return


if __name__ == "__main__":
    main()
