"""The threads in which figures are computed: few, and behind the one that answers everything else."""

import os
from concurrent.futures import ThreadPoolExecutor

#: A tenth of the weight of the event loop's thread: who waits for a deal should not wait for somebody's funnel.
_NICE = 10
#: As many as the reader of a PostgreSQL warehouse has connections.
_WAITING_THREADS = 4


def figure_threads(*, in_process: bool) -> ThreadPoolExecutor:
    """One thread for every two processors where figures are computed in this process, a few where another server does.

    More at once would each take longer, and the event loop would wait for them.
    """
    count = max(1, (os.cpu_count() or 1) // 2) if in_process else _WAITING_THREADS
    return ThreadPoolExecutor(max_workers=count, thread_name_prefix="figures", initializer=_step_back)


def _step_back() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, _NICE)  # on Linux of the calling thread alone
