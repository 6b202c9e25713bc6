"""Lead scores: a model is trained each night and promoted where it is no worse than the present one; then what is open
is scored, through the API, as anybody would. What changes meanwhile is scored by the scorer (`orchestration.scorer`).

An organization takes part by a key of a service with the scope scores:write, one of `SLUICE_SCORES_KEYS`.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import dagster as dg

from contracts.settings import OrchestrationSettings, ScoringSettings
from contracts.warehouse import Mart
from metrics.reader import open_reader
from metrics.session import Session
from orchestration.score_runs import score_changed, train_for
from orchestration.scores_client import ScoresClient
from orchestration.scoring import SUBJECTS
from orchestration.warehouse import Warehouse

NO_WORSE = "no_worse_than_present"

_OWNER, _GROUP = "team:scores", "scoring"


@dg.asset(
    name="lead_model",
    group_name=_GROUP,
    owners=[_OWNER],
    deps=[Mart.LEAD_FEATURES.value, Mart.FCT_LEAD_MOMENTS.value],
    kinds={"scikitlearn"},
    description="Models per organization of which deals are won and which leads convert, kept with their cards;"
    " promoted where they are no worse.",
    retry_policy=dg.RetryPolicy(max_retries=2, delay=300),
    check_specs=[
        dg.AssetCheckSpec(
            NO_WORSE,
            asset="lead_model",
            description="Each new model may be used, and is no worse than the one that scores; else that one stays.",
        )
    ],
)
def lead_model(warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads it
    """Train for each organization; promote what may be."""
    with _published(warehouse) as session:
        trained = [train_for(client, session, one) for client in _clients() for one in SUBJECTS.values()]
    refused = [f"{one.organization_id}, {one.subject}s: {one.refusal}" for one in trained if one.refusal]
    found = dg.AssetCheckResult(
        check_name=NO_WORSE,
        passed=not refused,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(refused) or f"{len(trained)} models were promoted.",
    )
    models = {f"{one.organization_id} {one.subject}": {"number": one.number, "auc": one.auc} for one in trained}
    return dg.MaterializeResult(metadata={"models": dg.MetadataValue.json(models)}, check_results=[found])


@dg.asset(
    name="lead_scores",
    group_name=_GROUP,
    owners=[_OWNER],
    deps=[lead_model, Mart.LEAD_FEATURES.value, Mart.FCT_LEAD_MOMENTS.value],
    kinds={"scikitlearn"},
    description="Scores of open deals and leads by the promoted models, where features or model changed.",
    retry_policy=dg.RetryPolicy(max_retries=3, delay=60),
)
def lead_scores(warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult[None]:
    """Score what changed."""
    folder = OrchestrationSettings().dagster_home.absolute() / "scores"
    totals: Counter[str] = Counter()
    with _published(warehouse) as session:
        for client in _clients():
            for subject in SUBJECTS.values():
                totals.update(score_changed(client, session, folder, subject, now=datetime.now(UTC)))
    return dg.MaterializeResult(metadata=dict(totals))


def _clients() -> Iterator[ScoresClient]:
    """One per organization that takes part."""
    settings = ScoringSettings()
    for key in settings.scores_keys:
        yield ScoresClient.at(settings.api_url, key.get_secret_value())


@contextmanager
def _published(warehouse: Warehouse) -> Iterator[Session]:
    with closing(open_reader(warehouse.url)) as reader, reader.session() as session:
        yield session


train_scores = dg.define_asset_job(
    "train_scores",
    selection=[lead_model, lead_scores],
    description="Train models anew, promote what is no worse, and score what is open.",
)
score_changes = dg.define_asset_job(
    "score_changes",
    selection=[lead_scores],
    description="Score the deals and leads that changed since.",
)
nightly_training = dg.ScheduleDefinition(
    name="nightly_training",
    job=train_scores,
    cron_schedule="53 1 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
