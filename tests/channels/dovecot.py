"""Dovecot on a free port with one mailbox, where Debian's package is installed."""

import json
import os
import pwd
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from imapclient import IMAPClient

from runtime.process import free_port
from tests.eventually import eventually

_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%n
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
auth_mechanisms = plain login xoauth2
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%n
}}
namespace inbox {{
  inbox = yes
  mailbox Sent {{
    auto = subscribe
    special_use = \\Sent
  }}
}}
"""
_OAUTH = """
introspection_url = http://127.0.0.1:{port}/?token=
introspection_mode = get
username_attribute = user
active_attribute = active
active_value = yes
"""


class _Tokens(BaseHTTPRequestHandler):
    """Whom Dovecot asks for whom a token is."""

    def do_GET(self) -> None:
        is_ours = parse_qs(urlsplit(self.path).query)["token"] == [Dovecot.access_token]
        body = json.dumps({"active": "yes", "user": Dovecot.username} if is_ours else {"active": "no"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Dovecot:
    """A running server. `append` puts a mail into a folder as it would arrive."""

    username, password, access_token = "sales", "CANARY-mailbox-password", "CANARY-access-token"

    def __init__(self, folder: Path) -> None:
        if shutil.which("dovecot") is None:
            pytest.skip("Dovecot is not installed: apt-get install dovecot-imapd")
        if os.getuid() != 0:
            pytest.skip("Dovecot needs root to serve mailboxes of another user")
        self.port = free_port()
        user = pwd.getpwnam("nobody")
        folder.chmod(0o755)
        for part in ("run", "mail"):
            (folder / part).mkdir()
        self._mails = folder / "mail"
        os.chown(folder / "mail", user.pw_uid, user.pw_gid)
        (folder / "users").write_text(f"{self.username}:{self.password}\n")
        (folder / "users").chmod(0o644)
        self._tokens = ThreadingHTTPServer(("127.0.0.1", 0), _Tokens)
        threading.Thread(target=self._tokens.serve_forever, daemon=True).start()
        (folder / "oauth2.conf").write_text(_OAUTH.format(port=self._tokens.server_address[1]))
        values = {"folder": folder, "port": self.port, "uid": user.pw_uid, "gid": user.pw_gid}
        group = "nogroup"
        (folder / "dovecot.conf").write_text(_CONFIG.format(user="nobody", group=group, **values))
        command = ["dovecot", "-F", "-c", str(folder / "dovecot.conf")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            eventually(self._answers, what="Dovecot answers", seconds=20)
        except BaseException:
            self.stop()
            print((folder / "dovecot.log").read_text())
            raise

    def _answers(self) -> bool:
        try:
            with self.client():
                return True
        except OSError:
            return False

    def client(self) -> IMAPClient:
        """A connection that is signed in."""
        imap = IMAPClient("127.0.0.1", port=self.port, ssl=False)
        imap.login(self.username, self.password)
        return imap

    def append(self, *mails: bytes, folder: str = "INBOX") -> None:
        """Put mails into a folder."""
        with self.client() as imap:
            for mail in mails:
                imap.append(folder, mail)

    def clear(self) -> None:
        """An empty inbox under another UIDVALIDITY, and an empty folder of what was sent."""
        with self.client() as imap:
            for folder in ("INBOX", "Sent"):
                imap.select_folder(folder)
                if found := imap.search("ALL"):
                    imap.delete_messages(found)
                    imap.expunge()

    def begin_anew(self) -> None:
        """The same mails under another UIDVALIDITY, as after a restore."""
        for kept in (self._mails / self.username).glob("dovecot*"):
            kept.unlink()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
        self._tokens.shutdown()
        self._tokens.server_close()
