"""What `sluice metrics` says of definitions."""

from typer.testing import CliRunner

from metrics.registry import definitions
from runtime.metrics_command import app

_RUN = CliRunner()


def test_lint_finds_the_projects_definitions_as_published() -> None:
    said = _RUN.invoke(app, ["lint"])
    assert (said.exit_code, said.output.split()[:2]) == (0, [str(len(definitions())), "metrics"])


def test_diff_shows_what_changed_between_versions() -> None:
    said = _RUN.invoke(app, ["diff", "bookings", "1", "2"])
    assert "--- bookings@1" in said.output
    assert "+- currency" in said.output
    assert "There is no metric nothing" in str(_RUN.invoke(app, ["diff", "nothing"]).exception)
    assert "bookings has 1, 2" in str(_RUN.invoke(app, ["diff", "bookings", "9"]).exception)


def test_docs_hold_every_metric_with_its_rules_and_hash() -> None:
    said = _RUN.invoke(app, ["docs"]).output
    for name, definition in definitions().items():
        assert f"`{name}`, version {definition.version}" in said
        assert definition.definition in said
