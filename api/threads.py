"""The threads in which figures are computed: few, and behind the one that answers everything else."""

import os
from concurrent.futures import ThreadPoolExecutor

#: A tenth of the weight of the event loop's thread: who waits for a deal should not wait for somebody's funnel.
_NICE = 10


def figure_threads() -> ThreadPoolExecutor:
    """One thread for every two processors: more at once would each take longer, and the event loop wait for them."""
    return ThreadPoolExecutor(
        max_workers=max(1, (os.cpu_count() or 1) // 2), thread_name_prefix="figures", initializer=_step_back
    )


def _step_back() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, _NICE)  # on Linux of the calling thread alone
