"""How much later than from the model itself the first words of a draft are there, p95, over HTTP.

The model is a stub that thinks for a while, then writes word by word. It is asked directly, and through drafts that are
streamed, in turns: what is between the two is ours (facts, budget, redaction, the openai package, cleaning).
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import perf_counter

import httpx

from benchmarks.load import Person, quantile, sign_up
from benchmarks.result import BenchmarkResult
from benchmarks.servers import running_processes

_TARGET_MS = 300.0
_THINKS, _BETWEEN = 0.15, 0.01
_PARTS = ('{"text": "Dear ', "customer, ", *("word " for _ in range(30)), '", "cited": []}')


class _Model(BaseHTTPRequestHandler):
    """Answers any request for a completion."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:  # http.server's name
        """Think, then write."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        time.sleep(_THINKS)
        for part in _PARTS:
            self._say({"index": 0, "delta": {"content": part}, "finish_reason": None})
            time.sleep(_BETWEEN)
        self._say({"index": 0, "delta": {}, "finish_reason": "stop"})
        self.wfile.write(b"data: [DONE]\n\n")

    def _say(self, choice: dict[str, object]) -> None:
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "stub", "choices": [choice]}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())


@contextmanager
def _model() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Model) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


def run(*, drafts: int = 100) -> BenchmarkResult:
    """Ask the stub and us in turns, one after the other."""
    with _model() as url:
        settings = {"SLUICE_OPENAI_API_KEY": "bench", "SLUICE_OPENAI_BASE_URL": url}
        with running_processes({"api"}, settings=settings) as running:
            person = sign_up(running.stack.api_url, "drafts")
            with httpx.Client(base_url=running.stack.api_url, timeout=60) as api, httpx.Client(timeout=60) as model:
                deal_id = _deal(api, person)
                pairs = [(_first_of_model(model, url), _first_of_ours(api, person, deal_id)) for _ in range(drafts + 3)]
    own, ours = ([pair[which] * 1000 for pair in pairs[3:]] for which in (0, 1))  # the first three warm up
    return BenchmarkResult(
        name="drafts",
        figure=quantile(ours, 0.95) - quantile(own, 0.95),
        unit="ms",
        limit=_TARGET_MS,
        limit_description="the target",
        details={
            "first words of the stub": f"p50 {quantile(own, 0.5):.1f} ms, p95 {quantile(own, 0.95):.1f} ms",
            "first words of a draft": f"p50 {quantile(ours, 0.5):.1f} ms, p95 {quantile(ours, 0.95):.1f} ms",
            "drafts": str(len(ours)),
        },
    )


def _deal(api: httpx.Client, person: Person) -> str:
    body = {"pipeline_id": person.pipeline["id"], "title": "400 seats", "amount_minor": 100_000}
    answer = api.post("/v1/deals", json=body, headers={"Authorization": f"Bearer {person.token}"})
    return str(answer.raise_for_status().json()["id"])


def _first_of_model(model: httpx.Client, url: str) -> float:
    began = perf_counter()
    with model.stream("POST", f"{url}/chat/completions", json={"stream": True}) as answer:
        for line in answer.iter_lines():
            if "Dear" in line:
                return perf_counter() - began
    raise RuntimeError("the stub wrote nothing")


def _first_of_ours(api: httpx.Client, person: Person, deal_id: str) -> float:
    body, headers = {"kind": "summary", "deal_id": deal_id}, {"Authorization": f"Bearer {person.token}"}
    began, first = perf_counter(), None
    with api.stream("POST", "/v1/drafts/stream", json=body, headers=headers) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():  # to its end: whoever goes away breaks it off
            if first is None and "Dear" in line:
                first = perf_counter() - began
    if first is None:
        raise RuntimeError("no draft was written")
    return first
