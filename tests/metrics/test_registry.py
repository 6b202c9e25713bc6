"""Definitions are complete, belong to a computation, and change only with their version."""

from pathlib import Path

import pytest
import yaml

from metrics import published
from metrics.errors import ParameterError, UnknownMetricError
from metrics.kinds import KINDS
from metrics.parameters import Parameters, read
from metrics.registry import Definition, definition_of, definitions, load_known


def test_a_definition_changes_only_with_its_version() -> None:
    assert published.wrong() == []


def test_every_metric_has_a_test_that_asks_it_by_name() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in definitions() if f'"{name}"' not in tests] == []


def test_definitions_offer_only_what_exists() -> None:
    aliases = {"from": "start", "to": "end"}
    for metric in definitions().values():
        assert {aliases.get(name, name) for name in metric.parameters} <= set(Parameters.model_fields)
        assert metric.kind in KINDS
        assert metric.description
        assert metric.policy
        assert metric.tests
        parameters = read(metric, {})
        assert parameters.group_by in metric.dimensions


def test_the_hash_follows_the_meaning_and_not_the_history() -> None:
    source = Path(__file__).parents[2] / "metrics" / "definitions" / "win_rate.yml"
    raw = yaml.safe_load(source.read_text())
    same = Definition.model_validate(raw | {"changelog": [{"version": raw["version"], "change": "Said otherwise."}]})
    other = Definition.model_validate(raw | {"formula": "won / all"})
    assert same.definition == definition_of("win_rate").definition != other.definition
    with pytest.raises(ValueError, match="changelog"):
        Definition.model_validate(raw | {"version": raw["version"] + 1})


def test_an_unknown_metric_is_an_error() -> None:
    with pytest.raises(UnknownMetricError):
        definition_of("../funnel")


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("order", "sideways", "order"),
        ("regress", "never", "regress"),
        ("unit", "bananas", "unit"),
        ("window_days", "-1", "window_days"),
        ("window_days", "1.5", "window_days"),
        ("cohort", "entered:", "cohort"),
        ("cohort", "entered:first", "cohort"),
        ("cohort", "created:00000000-0000-7000-8000-000000000001", "cohort"),
        ("from", "0001-01-01", "from"),
        ("to", "2026-02-30", "to"),
        ("as_of", "2026-01-01T00:00:00", "as_of"),
        ("as_of", "now", "as_of"),
        ("group_by", "top_team", "group_by"),
        ("start", "2026-01-01", "start"),
        ("whose", "ada", "whose"),
    ],
)
def test_a_wrong_parameter_is_named(name: str, value: str, field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        read(definition_of("funnel"), {name: value})
    assert caught.value.field == field


def test_an_instant_may_come_with_an_unescaped_plus() -> None:
    funnel = definition_of("funnel")
    assert read(funnel, {"as_of": "2026-01-01T10:00:00 01:00"}) == read(funnel, {"as_of": "2026-01-01T09:00:00Z"})


class TestDefinitionsThatTheCodeDoesNotKnow:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        source = Path(__file__).parents[2] / "metrics" / "definitions"
        for name in ("bookings", "win_rate"):
            (tmp_path / f"{name}.yml").write_text((source / f"{name}.yml").read_text())
        return tmp_path

    @pytest.mark.parametrize(
        "text", ["{", "", "name: other", "a: [1, 2]", "- 1", "name: strange\nentity: unknown\n", "\x00"]
    )
    def test_are_left_out_and_named_in_the_log_while_the_others_answer(
        self, folder: Path, text: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder / "strange.yml").write_text(text)
        assert list(load_known(folder).present) == ["bookings", "win_rate"]
        assert "metric strange is left out" in caplog.text
        assert "./sluice reload" in caplog.text

    def test_what_derives_from_one_of_them_is_left_out_too(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        raw = yaml.safe_load((folder / "win_rate.yml").read_text())
        raw["name"], raw["label"] = "derived", "Derived"
        raw["figures"][0] = {"name": raw["figures"][0]["name"], "description": "Of another.", "of": "absent.deals_won"}
        (folder / "derived.yml").write_text(yaml.safe_dump(raw))
        assert list(load_known(folder).present) == ["bookings", "win_rate"]
        assert "derives from absent" in caplog.text
