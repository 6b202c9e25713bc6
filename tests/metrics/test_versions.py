"""A definition's version answers for ever and says where an answer spans a change; derived metrics follow others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import metrics
from metrics import published, query
from metrics.errors import ParameterError
from metrics.parameters import read
from metrics.registry import Definition, Registry, load
from metrics.rows import CellAddress, rows
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.conftest import Asker

Ask = Callable[[EventLog], Asker]

_DEFINITIONS = Path(metrics.__file__).parent / "definitions"
#: The day on which the changed definitions below begin to count, in the middle of the log.
_CHANGED_ON = "2026-02-01"


def _raw(name: str) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load((_DEFINITIONS / f"{name}.yml").read_text())
    return raw


def _write(folder: Path, *, earlier: dict[str, Any] | None = None, **changed: dict[str, Any]) -> Registry:
    """The definitions of the project in a folder, some of them changed."""
    for path in _DEFINITIONS.glob("*.yml"):
        raw = _raw(path.stem) | changed.get(path.stem, {})
        (folder / path.name).write_text(yaml.safe_dump(raw, sort_keys=False))
    if earlier:
        (folder / "earlier").mkdir()
        (folder / "earlier" / f"{earlier['name']}@{earlier['version']}.yml").write_text(yaml.safe_dump(earlier))
    return load(folder)


_NEXT = _raw("win_rate")["version"] + 1


def _won_of_created() -> dict[str, Any]:
    """The next version of win_rate, which asks of the deals that were created in the period."""
    line = {"version": _NEXT, "on": _CHANGED_ON, "change": "Deals created in the period, not closed in it."}
    return {
        "version": _NEXT,
        "defaults": {"cohort": "created"},
        "changelog": [*_raw("win_rate")["changelog"], line],
    }


def _ask(asker: Asker, definition: Definition, **given: str) -> query.Answer:
    return query.answer(asker.reader, definition, read(definition, given), viewer=asker.viewer(), now=asker.now)


@pytest.fixture
def asker(log: EventLog, ask: Ask) -> Asker:
    """Deals of an owner that are created in January and closed in January or February."""
    pipeline, ada = log.pipeline(), log.user()
    for number in range(8):
        deal = log.deal(pipeline, at=BEGINNING + days(number), owner_id=ada)
        closed = BEGINNING + days(number + 7 * (number % 4))
        if number % 3:
            log.win(deal, at=closed)
        else:
            log.lose(deal, at=closed)
    return ask(log)


class TestVersions:
    def test_an_earlier_version_answers_as_it_did(self, asker: Asker, tmp_path: Path) -> None:
        changed = _write(tmp_path, earlier=_raw("win_rate"), win_rate=_won_of_created())
        february = {"from": "2026-01-20", "to": "2026-02-10"}
        before = _ask(asker, load().get("win_rate"), **february)
        assert before.rows[0]["won"] + before.rows[0]["lost"] > 0
        assert _ask(asker, changed.get("win_rate", _NEXT - 1), **february) == before
        now = _ask(asker, changed.get("win_rate"), **february)
        assert (now.version, now.rows[0]["win_rate"]) == (_NEXT, None)
        assert now.definition != before.definition
        with pytest.raises(ParameterError, match="version"):
            changed.get("win_rate", _NEXT + 1)

    def test_an_answer_says_where_it_spans_a_change(self, asker: Asker, tmp_path: Path) -> None:
        changed = _write(tmp_path, earlier=_raw("win_rate"), win_rate=_won_of_created())
        present = changed.get("win_rate")
        said = f"version {_NEXT} of win_rate counts since 2026-02-01: Deals created in the period, not closed in it."

        def notes(**given: str) -> list[str]:
            return _ask(asker, present, **given).notes

        asked = {"as_of": "2026-02-02"}
        assert notes(**asked, **{"from": "2026-01-20", "to": "2026-02-10"})[1:] == [
            f"The period spans a change of the definition, and is counted by the later one; {said}"
        ]
        assert notes(**asked, **{"from": "2026-02-01", "to": "2026-02-10"})[1:] == []
        assert notes(**{"as_of": "2026-01-31", "from": "2026-01-01", "to": "2026-01-10"})[-1] == (
            f"as_of lies before a change of the definition; {said}"
        )

    def test_what_is_published_neither_changes_nor_goes(self, tmp_path: Path) -> None:
        kept = tmp_path / "published.json"
        kept.write_text("{}")
        known = load()
        assert len(published.wrong(published=kept)) == sum(len(known.versions(name)) for name in known.present)
        assert published.accept(published=kept) == []
        definitions = tmp_path / "definitions"
        definitions.mkdir()
        line = {"version": known.get("bookings").version, "change": "Said otherwise."}
        # of a folder without earlier versions nothing is asked
        kept.write_text(json.dumps({f"{one.name}@{one.version}": one.definition for one in known.present.values()}))
        assert published.accept(_write(definitions, bookings={"changelog": [line]}), published=kept) == []
        silent = _write(definitions, bookings={"formula": "another"})
        # what derives from it changes with it
        assert [each.split()[0] for each in published.accept(silent, published=kept)] == [
            f"bookings@{known.get('bookings').version}",
            f"team_performance@{known.get('team_performance').version}",
        ]
        gone = _write(definitions, win_rate=_won_of_created())
        assert f"win_rate@{_NEXT - 1} is published and gone: keep it in definitions/earlier" in published.accept(
            gone, published=kept
        )
        assert published.wrong() == []


class TestDerivedMetrics:
    def test_a_changed_definition_changes_what_derives_from_it(self, asker: Asker, tmp_path: Path) -> None:
        changed = _write(tmp_path, earlier=_raw("win_rate"), win_rate=_won_of_created())
        asked = {"from": "2026-01-20", "to": "2026-02-10"}
        shown = {}
        for name, known in (("before", load()), ("after", changed)):
            (rate,) = _ask(asker, known.get("win_rate"), **asked, group_by="owner").rows or [{}]
            rows_ = _ask(asker, known.get("team_performance"), **asked).rows
            shown[name] = [(row["deals_lost"], row["win_rate"]) for row in rows_]
            assert shown[name] == [(rate.get("lost", 0), rate.get("win_rate"))]
        assert shown["before"] != shown["after"]
        deals_won = CellAddress("deals_won")
        team = changed.get("team_performance")
        page = rows(asker.reader, team, read(team, asked), deals_won, viewer=asker.viewer(), now=asker.now, limit=50)
        assert page.count == _ask(asker, team, **asked).rows[0]["deals_won"]

    def test_an_earlier_version_names_the_versions_that_it_used(self, tmp_path: Path) -> None:
        version = _raw("team_performance")["version"] + 1
        present = {
            "version": version,
            "changelog": [*_raw("team_performance")["changelog"], {"version": version, "change": "New."}],
        }
        with pytest.raises(ValueError, match="must name the version of"):
            _write(tmp_path, earlier=_raw("team_performance"), team_performance=present)

    def test_a_median_cycle_is_the_median_of_the_deals_behind_it(self, asker: Asker) -> None:
        asked = {"from": "2026-01-01", "to": "2026-03-01", "group_by": "owner"}
        (row,) = _ask(asker, load().get("sales_cycle_days"), **asked).rows
        (team,) = _ask(asker, load().get("team_performance"), **asked).rows
        # won are numbers 1, 2, 4, 5, 7, after 7, 14, 0, 7 and 21 days
        assert (row["deals_won"], row["median_days"], row["p90_days"]) == (5, 7.0, pytest.approx(18.2))
        assert (team["deals_won"], team["median_cycle_days"]) == (5, 7.0)
