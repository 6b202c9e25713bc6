"""The API's scores, as training and scoring use them: what does not change between two runs is asked for once."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from time import monotonic
from typing import Any, Self
from uuid import UUID

import httpx
import polars as pl

from models_ml import storage
from models_ml.errors import ScoringError
from models_ml.model import Model
from models_ml.training import Trained
from orchestration.scoring import DEALS, Subject, scores_of

_CHUNK = 500
#: Names of stages and sources are believed for so long.
_NAMES_SECONDS = 300.0


@dataclass
class ScoresClient:
    """The API's scores, for a service key or a signed-in administrator."""

    http: httpx.Client
    _models: dict[str, Model] = field(default_factory=dict)
    _names: tuple[float, dict[str, str]] | None = None

    @classmethod
    def at(cls, api_url: str, token: str | None) -> Self:
        """A client that shows this token or key, if it has one yet."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return cls(httpx.Client(base_url=api_url, timeout=120, headers=headers))

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        """What the API answers.

        Raises:
            ScoringError: it refuses; says why in its words.
        """
        try:
            answer = self.http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ScoringError(f"The API cannot be reached: {error}.") from error
        if answer.is_error:
            problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            raise ScoringError(problem.get("detail") or f"The API answered {answer.status_code}.")
        return answer.json()

    @cached_property
    def organization_id(self) -> UUID:
        """Whose scores these are."""
        return UUID(self.call("GET", "/v1/me")["organization"]["id"])

    def models(self, subject: Subject) -> list[dict[str, Any]]:
        """Models with their cards, the newest first."""
        found: list[dict[str, Any]] = self.call("GET", f"/v1/scores/models?subject={subject.name}")["items"]
        return found

    def present(self, subject: Subject = DEALS) -> dict[str, Any] | None:
        """The model that scores."""
        path = f"/v1/scores/models?subject={subject.name}&state=promoted"
        return next(iter(self.call("GET", path)["items"]), None)

    def keep(
        self, trained: Trained, subject: Subject = DEALS, *, data_version: str, horizon_days: int
    ) -> dict[str, Any]:
        """Store a model as a shadow; an abstaining one too, so that its card can be read."""
        stored = storage.dump(trained.model) if trained.model else b""
        body = {
            "subject": subject.name,
            "artefact": base64.b64encode(stored).decode(),
            "sha256": storage.fingerprint(stored),
            "card": trained.card,
            "data_version": data_version[:100],
            "code_version": f"sluice {version('sluice')}, scikit-learn {version('scikit-learn')}",
            "horizon_days": horizon_days,
        }
        kept: dict[str, Any] = self.call("POST", "/v1/scores/models", body)
        return kept

    def names(self) -> dict[str, str]:
        """Names of pipelines, stages and sources by their ids."""
        if self._names is not None and monotonic() < self._names[0]:
            return self._names[1]
        found: dict[str, str] = {}
        for pipeline in self._all("/v1/pipelines"):
            found[pipeline["id"]] = pipeline["name"]
            found |= {stage["id"]: stage["name"] for stage in pipeline["stages"]}
        found |= {value["id"]: value["label"] for value in self._all("/v1/picklists/source")}
        self._names = monotonic() + _NAMES_SECONDS, found
        return found

    def _all(self, path: str) -> Iterator[dict[str, Any]]:
        cursor: str | None = ""
        while cursor is not None:
            page = self.call("GET", f"{path}?limit=100" + (f"&cursor={cursor}" if cursor else ""))
            yield from page["items"]
            cursor = page.get("next_cursor")

    def promote(self, model_id: str) -> None:
        """Make it the model that scores."""
        self.call("POST", f"/v1/scores/models/{model_id}/promote")

    def write(self, model: Mapping[str, Any], features: pl.DataFrame, subject: Subject = DEALS) -> dict[str, int]:
        """Score what is open, and write what changed."""
        scores = list(scores_of(self._loaded(model["id"]), features, subject, names=self.names()))
        done = dict.fromkeys(("written", "unchanged", "held_out", "unknown"), 0)
        for start in range(0, len(scores), _CHUNK):
            body = {"model_id": model["id"], "scores": scores[start : start + _CHUNK]}
            answer = self.call("POST", "/v1/scores", body)
            done = {name: count + answer[name] for name, count in done.items()}
        return done

    def _loaded(self, model_id: str) -> Model:
        """A model; it never changes under its id."""
        if model_id not in self._models:
            artefact = self.call("GET", f"/v1/scores/models/{model_id}/artefact")
            stored = base64.b64decode(artefact["artefact"])
            self._models = {model_id: storage.load(stored, expected_sha256=artefact["sha256"])}
        return self._models[model_id]
