"""Problems in the reader's language."""

import re

import pytest

from api.edge.languages import language_of, translate
from api.kernel.errors import CrmError
from tests.api.messages import below, raised, titles_and_details
from tests.factories import Account

_CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)


@pytest.mark.usefixtures("api")
def test_every_error_code_has_russian_texts() -> None:
    lacking = {code: text for code, texts in titles_and_details().items() for text in texts if not _in_russian(text)}
    assert not lacking, "add them to api/locales/ru.po"


@pytest.mark.usefixtures("api")
def test_texts_that_are_given_where_errors_are_raised_are_in_russian_too() -> None:
    lacking = sorted(text for text in raised() if not _in_russian(text))
    assert not lacking, "add them to api/locales/ru.po"


def _in_russian(text: str) -> bool:
    filled = re.sub(r"\{(\w)\}", r"«\1»", text)  # as if it had values
    translation = translate(filled, "ru")
    return bool(_CYRILLIC.search(translation)) and set(re.findall("«.»", translation)) <= set(re.findall("«.»", filled))


@pytest.mark.usefixtures("api")
def test_an_error_that_has_a_text_of_its_own_says_it() -> None:
    said = [kind for kind in below(CrmError) if "detail" in vars(kind) and "__init__" not in vars(kind)]
    assert {kind.__name__: kind().detail for kind in said} == {kind.__name__: kind.detail for kind in said}


async def test_a_problem_comes_in_the_language_asked_for(owner: Account) -> None:
    missing = "/v1/deals/0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f"
    answer = await owner.get(missing, headers={"Accept-Language": "de, ru-RU;q=0.9, en;q=0.5"})
    assert (answer.headers["Content-Language"], answer.headers["Vary"]) == ("ru", "Accept-Language")
    assert (answer.json()["title"], answer.json()["detail"]) == ("Не найдено", "Нет такой записи: сделка.")
    assert answer.json()["code"] == "not_found"
    plain = await owner.get(missing)
    assert (plain.headers["Content-Language"], plain.json()["title"]) == ("en", "Not found")


async def test_wrong_fields_are_told_in_russian(owner: Account) -> None:
    headers = {"Accept-Language": "ru"}
    problem = (await owner.post("/v1/contacts", json={"name": "", "owner_id": "x", "a": 1}, headers=headers)).json()
    assert len(problem["errors"]) == 3
    assert all(_CYRILLIC.search(one["detail"]) for one in problem["errors"]), problem["errors"]
    wrong = (await owner.get("/v1/deals", params={"stauts": "x"}, headers=headers)).json()
    assert "Такого параметра нет. Параметры: " in wrong["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("wish", "language"),
    [
        (None, "en"),
        ("ru", "ru"),
        ("RU-ru", "ru"),
        ("en, ru", "en"),
        ("en;q=0.2, ru;q=0.9", "ru"),
        ("ru;q=0", "en"),
        ("*", "en"),
        ("de", "en"),
        ("ru;q=2;;;,\x7f", "en"),
        ("ru," * 10_000, "ru"),
    ],
)
def test_wishes_are_read_as_http_says(wish: str | None, language: str) -> None:
    class Asking:
        headers = {} if wish is None else {"Accept-Language": wish}

    assert language_of(Asking()) == language  # type: ignore[arg-type]  # all that is looked at
