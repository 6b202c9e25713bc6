"""`docs/security.md` says what is so: the lives of sign-ins, and every outside system that settings name."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import contracts
from api.identity.passwords import LONGEST, SHORTEST
from contracts.settings import ApiSettings
from contracts.settings_sources import Settings

PAGE = (Path(__file__).resolve().parents[1] / "docs/security.md").read_text()
#: What a process listens on is no system outside.
_PLACES = re.compile(r"_url$|^kafka_bootstrap_servers$|^smtp_host$")


def test_the_lives_of_sign_ins_are_those_of_the_settings() -> None:
    told = dict(re.findall(r"^\| `SLUICE_(\w+_SECONDS)` \| (\d+) \|", PAGE, re.MULTILINE))
    assert told.keys() == {"ACCESS_TOKEN_SECONDS", "REFRESH_TOKEN_SECONDS", "REFRESH_GRACE_SECONDS"}
    for name, seconds in told.items():
        assert ApiSettings.model_fields[name.lower()].default == int(seconds), name
    assert f"{SHORTEST} to {LONGEST} characters" in PAGE


def test_every_outside_system_is_named() -> None:
    for module in pkgutil.iter_modules(contracts.__path__):
        if module.name.startswith("settings"):
            importlib.import_module(f"contracts.{module.name}")
    importlib.import_module("runtime.migrate")  # has settings of its own
    named = {name.lower() for name in re.findall(r"`SLUICE_(\w+)`", PAGE)}
    places = {name for one in _kinds(Settings) for name in one.model_fields if _PLACES.search(name)}
    assert places <= named, sorted(places - named)


def _kinds(of: type[Settings]) -> Iterator[type[Settings]]:
    for one in of.__subclasses__():
        if not one.__module__.startswith("tests."):  # which have settings of their own
            yield one
        yield from _kinds(one)
