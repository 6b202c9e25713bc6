"""The sources page: which source brings money, how surely and how fast."""

from dashboards import client, controls, figures, links, states
from dashboards.answers import Me
from dashboards.figures import Column, Panel
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Sources", icon="hub", group="Analyse", position=4)

_PANEL = Panel(
    "velocity",
    [
        Column("won_amount_minor", "Won amount", "money"),
        Column("deals_won", "Won"),
        Column("deals_lost", "Lost"),
        Column("win_rate", "Win rate", "share"),
        Column("amount_per_win_minor", "Amount per win", "money"),
        Column("median_cycle_days", "Days to win", "days"),
        Column("velocity_minor_per_day", "Brings per day", "money"),
        Column("open_deals", "Open"),
    ],
    measure="deals_won",
    heading="Source",
)


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Sources", who, organization.zone, follows=links.chosen("as_of_mode") != "then")
        scope = controls.scope_bar(who, organization, client.pipelines(who), with_all=True)
        links.publish(scope.link())
        asked = {**scope.parameters(), "group_by": "source"}
        answer = client.figures(who, "velocity", asked, version=version)
        question = figures.describe(scope, organization, "Closed in the period, by source")
        figures.draw(who, organization, answer, asked, _PANEL, question=question, version=version)
