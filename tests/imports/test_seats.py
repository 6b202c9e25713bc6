"""People whom a file brings, where the plan has seats for some of them."""

import pytest

from tests.imports.conftest import Importer


async def test_whom_the_plan_has_no_seat_for_is_not_active(importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_STRIPE_SECRET_KEY", "sk_test_of_throw_away_servers")
    people = "name,email\n" + "".join(f"Rep {number},rep{number}@acme.example\n" for number in range(5))
    done = await importer.run({"users": people})
    users = await importer.account.read("/v1/users")
    # the free plan has three seats, and the owner has one
    assert sorted(user["is_active"] for user in users["items"]) == [False, False, False, True, True, True]
    assert any("3 people are not active" in warning for warning in done["warnings"])
