"""Ways to split figures: the usual ones, pieces of the calendar, and the organization's own fields of deals."""

from typing import TypeVar

from dashboards import client
from dashboards.answers import MetricAnswer
from dashboards.periods import PIECES
from dashboards.session import SignIn

Answer = TypeVar("Answer", bound=MetricAnswer)

USUAL = {"": "Nothing", "owner": "Owner", "team": "Team", "source": "Source"}
#: Fields of these types have few values, each of them a group.
_GROUPING = frozenset({"choice", "person"})
#: The same of values that are computed.
_COMPUTED_GROUPING = frozenset({"text", "flag"})


def own_fields(who: SignIn) -> dict[str, str]:
    """The fields of deals that split figures: value of `group_by` -> name. What is personal is in no figure."""
    return {
        f"custom:{field['id']}": field["name"]
        for field in client.fields_of_deals(who)
        if (field["type"] in _GROUPING or field["value_kind"] in _COMPUTED_GROUPING) and not field["is_personal"]
    }


def named(who: SignIn, answer: Answer) -> Answer:
    """The answer with the names of a field's choices, which the warehouse knows by their ids alone."""
    kind, _, field_id = str(answer.parameters.get("group_by") or "").partition(":")
    if kind != "custom":
        return answer
    fields = [field for field in client.fields_of_deals(who) if field["id"] == field_id]
    names = {choice["id"]: choice["label"] for field in fields for choice in field["choices"]}
    return answer.model_copy(update={"labels": answer.labels | names})


def offered(who: SignIn) -> dict[str, str]:
    """All of them."""
    return USUAL | PIECES | own_fields(who)
