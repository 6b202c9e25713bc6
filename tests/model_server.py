"""Language models to test against: one that says what a test has it say, and llmock, which breaks as real ones do."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from runtime.process import free_port
from tests.eventually import eventually


@dataclass
class ObedientModel:
    """A model that does whatever the customer's words ask of it: the worst that could answer.

    `says` is its answer; `{instructions}` and `{document}` stand for what it was given. `ends` false breaks it off.
    It is `busy` so many times, `refuses` to be some models, rests for `pause` seconds before each part, and answers
    nothing before it `may_answer`.
    """

    url: str
    says: dict[str, Any] = field(default_factory=lambda: {"text": "Thank you.", "cited": []})
    ends: bool = True
    busy: int = 0
    refuses: tuple[str, ...] = ()
    pause: float = 0.0
    may_answer: threading.Event = field(default_factory=threading.Event)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.may_answer.set()

    def answer(self, asked: dict[str, Any]) -> str:
        """What it writes."""
        self.asked.append(asked)
        instructions, document = (message["content"] for message in asked["messages"])
        text = self.says["text"].replace("{instructions}", instructions).replace("{document}", document)
        return json.dumps({**self.says, "text": text})


class _Server(ThreadingHTTPServer):
    model: ObedientModel


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:  # http.server's name
        model = self.server.model
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        whole = model.answer(asked)
        model.may_answer.wait(60)
        if model.busy or asked["model"] in model.refuses:
            model.busy = max(0, model.busy - 1)
            self.send_error(400 if asked["model"] in model.refuses else 503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        parts = [whole[start : start + 7] for start in range(0, len(whole), 7)]
        for part in parts if model.ends else parts[: len(parts) // 2]:
            time.sleep(model.pause)
            self._say([{"index": 0, "delta": {"content": part}, "finish_reason": None}])
        if model.ends:
            self._say([{"index": 0, "delta": {}, "finish_reason": "stop"}])
            self._say([], usage={"prompt_tokens": 1_000, "completion_tokens": 50, "total_tokens": 1_050})
        self.wfile.write(b"data: [DONE]\n\n")

    def _say(self, choices: list[dict[str, Any]], **more: Any) -> None:
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "obedient", "choices": choices}
        self.wfile.write(f"data: {json.dumps(chunk | more)}\n\n".encode())


@contextmanager
def obedient_model() -> Iterator[ObedientModel]:
    """Such a model, on a free port."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.model = ObedientModel(f"http://127.0.0.1:{server.server_address[1]}/v1")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.model
        finally:
            server.shutdown()
            thread.join()


#: llmock breaks a stream after 1 to 6 chunks, drawn at random, and 6 may be all of them: here always after the first.
_MOCK = "import random; random.randint = min; from llmock.cli import app; app()"


@contextmanager
def mock_model(*options: str) -> Iterator[str]:
    """llmock with faults: answers the URL of its API."""
    port = free_port()
    command = [sys.executable, "-c", _MOCK, "serve", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _answers(url), seconds=60)
        yield f"{url}/v1"
    finally:
        server.terminate()
        server.wait(timeout=20)


_SMALL = """
import sys, time
import xllamacpp
given = xllamacpp.CommonParams()
given.model.path, given.hostnames, given.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
given.n_ctx, given.n_parallel, given.use_jinja = 4096, 1, True
server = xllamacpp.Server(given)
time.sleep(3600)
"""


@contextmanager
def small_model(path: str) -> Iterator[str]:
    """A real model from a file, on llama.cpp: answers the URL of its API."""
    port = free_port()
    command = [sys.executable, "-c", _SMALL, path, str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        eventually(lambda: _answers(f"{url}/models"), seconds=120)
        yield url
    finally:
        server.kill()  # it knows no other end
        server.wait(timeout=20)


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=2)
    except httpx.HTTPError:
        return False
    return True
