"""Providers to sign in by: npm's certified `oidc-provider`, and one that says whatever a test wants it to say."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import SecretStr

from contracts.settings import OidcProvider
from runtime.process import die_with_parent, free_port
from tests.npm import installed

HERE = Path(__file__).parent
REDIRECT = "http://127.0.0.1:8501/sso/return"


@contextmanager
def certified_provider() -> Iterator[OidcProvider]:
    """The certified provider, running."""
    folder, port = installed(HERE, "oidc-provider"), free_port()
    shutil.copy(HERE / "provider.mjs", folder / "provider.mjs")
    process = subprocess.Popen(
        ["node", "provider.mjs", str(port), REDIRECT],  # noqa: S607 # found above
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 # no threads in the child
    )
    try:
        assert process.stdout is not None
        while (line := process.stdout.readline()).strip() != "ready":
            assert line, "the provider did not start"
        yield as_setting("certified", f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.communicate()


def as_setting(key: str, issuer: str) -> OidcProvider:
    return OidcProvider(
        key=key, issuer=issuer, client_id="sluice", client_secret=SecretStr("a secret of tests"), label=key.title()
    )


async def go_through(url: str, name: str) -> dict[str, str]:
    """Sign in at the certified provider as a person does; what the browser comes back with."""
    async with httpx.AsyncClient(timeout=20) as browser:
        answer = await browser.get(url)
        for _ in range(12):
            if answer.is_redirect:
                target = urljoin(str(answer.request.url), answer.headers["location"])
                if target.startswith(REDIRECT):
                    return dict(parse_qsl(urlsplit(target).query))
                answer = await browser.get(target)
            else:
                assert answer.status_code == 200, answer.text
                is_login = 'name="login"' in answer.text
                form = {"prompt": "login", "login": name, "password": "x"} if is_login else {"prompt": "consent"}
                answer = await browser.post(str(answer.request.url), data=form)
    raise AssertionError("the provider did not come to an end")


@dataclass
class LyingProvider:
    """A provider whose id token is what a test says."""

    issuer: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}, private=True))
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, path: str, form: dict[str, str]) -> Any:
        if path.endswith("openid-configuration"):
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                **self.metadata,
            }
        if path == "/jwks":
            return {"keys": [self.key.as_dict(private=False) | {"kid": "one"}]}
        self.asked.append(form)
        return {"access_token": "a", "token_type": "Bearer", "id_token": self.token or self.signed()}

    def signed(self, **header: Any) -> str:
        return jwt.encode({"alg": "RS256", "kid": "one", **header}, self.all_claims(), self.key)

    def all_claims(self) -> dict[str, Any]:
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": "sluice", "sub": "lying", "iat": now, "exp": now + 300}
        return {name: value for name, value in (usual | self.claims).items() if value is not None}


@contextmanager
def lying_provider() -> Iterator[LyingProvider]:
    liar = LyingProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(dict(parse_qsl(body)))

        def _answer(self, form: dict[str, str]) -> None:
            body = json.dumps(liar.answer(self.path, form)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    liar.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield liar
    server.shutdown()
    thread.join()
    server.server_close()
