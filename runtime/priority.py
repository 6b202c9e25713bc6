"""Who waits when there is more to do than processors to do it: the processes that no person waits for."""

import os
from contextlib import suppress
from pathlib import Path

#: Of a session: a tenth of the weight of one that answers people, so that a busy machine does not starve it.
_NICE = 10


def give_way() -> None:
    """Let this process, and what it starts, take just what the others leave.

    Linux weighs whole sessions against each other where autogroups are on (a desktop's default), and the processes of
    one session by their own policy; so both are said. Children that make a session of their own have to say it again.
    The policy for idle tasks says more than a niceness could: a processor that runs nothing else counts as idle for
    whoever wakes up and looks for one.
    """
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):  # no such file where autogroups are not built in or not a session's
        Path("/proc/self/autogroup").write_text(str(_NICE), encoding="ascii")
