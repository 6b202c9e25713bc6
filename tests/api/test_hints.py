"""Waiting for hints: loops sleep until there is something to do, or the process is told to stop."""

import asyncio
import threading
from time import monotonic

from api.kernel.hints import Hints

#: Nobody listens there: a hint that never comes.
_NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


async def test_r52_twenty_loops_sleep_and_all_notice_a_stop() -> None:
    looks = 0

    class Stop(threading.Event):
        def is_set(self) -> bool:
            nonlocal looks
            looks += 1
            return super().is_set()

    bells, stop, began = Hints(_NOWHERE), Stop(), monotonic()
    waiting = [asyncio.create_task(bells.bell(f"work {number}").wait(60, stop)) for number in range(20)]
    await asyncio.sleep(0.5)
    assert looks == 20  # each as it begins to wait; then nobody looks
    assert not any(task.done() for task in waiting)
    threading.Timer(0.1, stop.set).start()
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
        assert await bells.bell("late").wait(60, stop) is False
    await bells.close()
    assert monotonic() - began < 10
