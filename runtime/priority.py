"""Who waits when there is more to do than processors to do it: the processes that no person waits for."""

import os
from contextlib import suppress
from pathlib import Path

#: A tenth of the weight of a process that answers people.
_NICE = 10


def give_way() -> None:
    """Let this process, and what it starts, take just what the others leave.

    Linux weighs whole sessions against each other where autogroups are on (a desktop's default), and the processes of
    one session by their own niceness; so both are said. Children that make a session of their own have to say it again.
    One processor is left to the others altogether: a request sleeps and wakes ten times, and each time would wait for
    the end of a slice of a few milliseconds.
    """
    os.nice(_NICE)
    processors = os.sched_getaffinity(0)
    if len(processors) > 1:
        os.sched_setaffinity(0, processors - {min(processors)})
    with suppress(OSError):  # no such file where autogroups are not built in or not a session's
        Path("/proc/self/autogroup").write_text(str(_NICE), encoding="ascii")
