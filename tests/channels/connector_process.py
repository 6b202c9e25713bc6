"""A connector as a process of its own, forked from one that has imported it: to be killed at any instant."""

import multiprocessing
import os
import sys
import threading
from multiprocessing.process import BaseProcess
from unittest import mock

from ingest.channels import mail, runner

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def start(channel: str, environment: dict[str, str]) -> BaseProcess:
    """Begin to connect the accounts of a channel."""
    process = _CONTEXT.Process(target=_connect, args=(channel, environment), daemon=True)
    # the child runs __main__ again, which a page's test may have left to a script that is gone
    with mock.patch.dict(sys.modules, __main__=sys.modules[__name__]):
        process.start()
    return process


def _connect(channel: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    # what a mailbox's reader missed is missed until it compares
    with mock.patch.object(mail, "_COMPARE_SECONDS", 5.0):
        runner.run(threading.Event(), channel)
