"""Every mutation is noticed by a test that it names."""

from pathlib import Path

import pytest

from runtime.home import PROJECT
from tests.mutations.catalogue import MUTATIONS, QUICK
from tests.mutations.mutation import Edit, Mutation
from tests.mutations.runner import MutationError, try_mutation

_PARAMETERS = [
    pytest.param(mutation, id=mutation.name, marks=() if mutation.name in QUICK else pytest.mark.slow)
    for mutation in MUTATIONS
]


@pytest.mark.parametrize("mutation", _PARAMETERS)
def test_a_broken_guarantee_turns_a_named_test_red(mutation: Mutation, server_folder: Path) -> None:
    folder = server_folder / mutation.name  # PostgreSQL's system user passes through
    folder.mkdir(mode=0o755)
    verdict = try_mutation(mutation, folder)
    print(verdict.failed)
    assert verdict.is_noticed, verdict.output


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_mutations_fit_the_tree(mutation: Mutation) -> None:
    for edit in mutation.edits:
        assert (PROJECT / edit.path).read_text().count(edit.before) == 1, edit
    for test in mutation.tests:
        path, *names = test.split("::")
        text = (PROJECT / path).read_text()
        assert all(name in text for name in names), test


def test_a_mutation_that_does_not_fit_says_nothing(server_folder: Path) -> None:
    misfit = Mutation("misfit", (Edit("api/kernel/errors.py", "nowhere to be found", ""),), ("tests/api",))
    with pytest.raises(MutationError, match="0 times"):
        try_mutation(misfit, server_folder / "misfit")
