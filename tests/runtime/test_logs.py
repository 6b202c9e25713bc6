"""Every line that a process of ours logs says when."""

import logging
import re

import pytest

from runtime.serve import _log_with_times


def test_processes_log_with_the_instant_and_others_only_warn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])  # pytest's own
    before = root.level
    _log_with_times()
    logging.getLogger("ingest.relay").info("published %s", 3)
    logging.getLogger("kafka.conn").info("chatter")
    logging.getLogger("kafka.conn").warning("trouble")
    root.setLevel(before)
    first, second = capsys.readouterr().err.splitlines()
    instant = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"{instant} INFO ingest\.relay published 3", first)
    assert re.fullmatch(rf"{instant} WARNING kafka\.conn trouble", second)
