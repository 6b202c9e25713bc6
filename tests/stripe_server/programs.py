"""Programs that others wrote: Stripe's own command line, and Steady, which holds requests against Stripe's document."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from runtime.process import die_with_parent, free_port
from tests.npm import installed
from tests.stripe_server.server import KEY, StripeServer
from tests.stripe_server.spec import document

HERE = Path(__file__).parent
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _program(package: str, name: str) -> Path:
    [found] = (installed(HERE, "stripe") / "node_modules").glob(f"{package}-linux-*/bin/{name}")
    return found


def stripe_command(server: StripeServer, *arguments: str) -> str:
    """Have Stripe's command line do something at a server; answers what it said."""
    home = installed(HERE, "stripe")
    done = subprocess.run(
        [_program("@stripe/cli", "stripe"), *arguments, "--api-base", server.url],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "STRIPE_API_KEY": KEY, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def steady(folder: Path) -> Iterator[httpx.Client]:
    """A server that takes what the document allows, and refuses what it does not."""
    program, port = _program("@stdy/cli", "steady"), free_port()
    described = folder / "stripe.json"
    described.write_text(json.dumps(document()))
    formats = [
        f"--validator-{where}-{kind}-format=brackets" for where in ("form", "query") for kind in ("array", "object")
    ]
    process = subprocess.Popen(
        [program, "--host", "127.0.0.1", "-p", str(port), *formats, described],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,  # noqa: PLW1509 # no threads in the child
    )
    headers = {"Authorization": f"Bearer {KEY}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20) as client:
            _wait(client, process)
            yield client
    finally:
        process.kill()
        process.wait()


def _wait(client: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            client.get("/v1/customers")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("Steady did not start")


def replay(client: httpx.Client, verb: str, path: str, form: str) -> str | None:
    """Send a request as it was sent; answers why it is refused, if it is."""
    if verb == "POST":
        answer = client.post(path, content=form, headers=_FORM)
    else:
        form = re.sub(r"\[\d+\]=", "[]=", form)  # Stripe takes lists in both spellings, Steady one in a query
        answer = client.request(verb, f"{path}?{form}" if form else path)
    return None if answer.is_success else f"{verb} {path} {form}: {answer.text}"
