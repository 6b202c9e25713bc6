"""How well likeness tells people apart: generated people, of whom half are the other half again with mistakes."""

import csv

import pytest

from api.duplicates.rules import Candidate, alike, blocks
from runtime.home import PROJECT

_FILE = PROJECT.parent / "shared/data/dedupe_febrl_dataset1/dataset1.csv"


@pytest.mark.skipif(not _FILE.exists(), reason="../shared/data/dedupe_febrl_dataset1 is not beside the project")
def test_precision_and_recall_on_febrl() -> None:
    with _FILE.open(encoding="utf-8") as file:
        rows = [{name.strip(): cell.strip() for name, cell in row.items()} for row in csv.DictReader(file)]
    candidates = [
        Candidate(
            row["rec_id"],
            f"{row['given_name']} {row['surname']}",
            " ".join(row[name] for name in ("street_number", "address_1", "suburb", "postcode", "date_of_birth")),
        )
        for row in rows
    ]
    found = alike(candidates)
    right = sum(pair.left.split("-")[1] == pair.right.split("-")[1] for pair in found)
    precision, recall = right / len(found), right / (len(rows) / 2)
    assert (precision, recall) >= (0.98, 0.95), (precision, recall)
    # of half a million pairs
    compared = sum(len(block) * (len(block) - 1) // 2 for block in blocks(candidates).values())
    assert compared < 20_000


def test_names_alone_have_to_be_nearly_the_same_in_any_order() -> None:
    names = ["Katharina Lindemann", "Lindeman, Katharina", "Katharina Lindner", "Kurt Lindemann"]
    [pair] = alike([Candidate(number, name) for number, name in enumerate(names)])
    assert (pair.left, pair.right) == (0, 1)
