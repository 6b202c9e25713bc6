"""Postfix on a free port, where Debian's package is installed: it takes any mail, and hands it on to one server."""

import os
import shutil
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.process import free_port
from tests.eventually import eventually

_POSTFIX = "/usr/sbin/postfix"
_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mx.us.example
mydestination =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:{onward}
smtp_tls_security_level = none
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
"""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@contextmanager
def postfix(folder: Path, *, onward: int) -> Iterator[int]:
    """A server that hands everything on to the one at a port; answers its own port."""
    if not Path(_POSTFIX).exists():
        pytest.skip("Postfix is not installed: apt-get install postfix")
    if os.getuid() != 0:
        pytest.skip("Postfix needs root to run its parts as other users")
    for part in (folder, *folder.parents)[:3]:  # pytest's folders are shut to other users, as whom its parts run
        part.chmod(part.stat().st_mode | 0o055)
    port, config = free_port(), folder / "etc"
    for part in (config, folder / "queue", folder / "data"):
        part.mkdir()
    shutil.chown(folder / "data", "postfix")
    (config / "main.cf").write_text(_MAIN.format(folder=folder, onward=onward))
    (config / "master.cf").write_text(_MASTER.format(port=port))
    # it comes back when all of its parts run, and what it begins outlives whoever began it
    run = [_POSTFIX, "-c", str(config)]
    subprocess.run([*run, "start"], check=True, capture_output=True, timeout=60)
    try:
        eventually(lambda: _answers(port), what="Postfix answers", seconds=20)
        yield port
    finally:
        subprocess.run([*run, "stop"], check=False, capture_output=True, timeout=60)


def _answers(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=5):
            return True
    except (OSError, smtplib.SMTPException):
        return False
