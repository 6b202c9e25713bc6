"""`sluice rules lint`: a person learns what is wrong with a document, in words, without a stack."""

from pathlib import Path

from typer.testing import CliRunner

from runtime.cli import app

SOUND = """
trigger: {kind: event, event: deal.created}
when: deal.amount > 1000.0
actions: [{do: task.create, with: {title: Call}}]
"""


def test_lint_says_what_is_wrong_and_where(tmp_path: Path) -> None:
    file, runner = tmp_path / "rule.yml", CliRunner()
    file.write_text(SOUND)
    assert runner.invoke(app, ["rules", "lint", str(file)]).exit_code == 0
    file.write_text(SOUND.replace("deal.amount", "deal.amuont"))
    wrong = runner.invoke(app, ["rules", "lint", str(file)])
    assert wrong.exit_code == 1
    assert "deal has no 'amuont'" in wrong.output.replace("\n", " ")
    file.write_text(SOUND.replace("task.create", "task.crate"))
    assert "there is no action 'task.crate'" in runner.invoke(app, ["rules", "lint", str(file)]).output.replace(
        "\n", " "
    )
    file.write_text("- 1")
    assert runner.invoke(app, ["rules", "lint", str(file)]).exit_code == 2
