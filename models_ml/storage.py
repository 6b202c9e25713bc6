"""Models at rest: skops, which holds data and names of types, never code; the same model is the same bytes.

A stored model opens only if its hash is the one that was kept with it, and if it holds no type beyond those of ours:
whoever can write where models lie cannot make us run anything.
"""

import io
import json
import zipfile
from hashlib import sha256
from typing import Any

import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier
from skops.io.exceptions import UntrustedTypesFoundException

from models_ml.boosting import BoostingModel
from models_ml.encoding import Feature
from models_ml.errors import UntrustedModelError
from models_ml.linear import LinearModel
from models_ml.model import Model

FORMAT = 1
#: What skops asks about and a boosted model holds: scikit-learn's own trees. Nothing else is ever let in.
_TRUSTED = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss._loss.CyHalfBinomialLoss",
    }
)
_EPOCH = (1980, 1, 1, 0, 0, 0)


def dump(model: Model) -> bytes:
    """The model as bytes: the same for the same model."""
    return _canonical(skops.io.dumps(_content(model)))


def fingerprint(stored: bytes) -> str:
    """The hash by which a stored model is known."""
    return sha256(stored).hexdigest()


def load(stored: bytes, *, expected_sha256: str) -> Model:
    """The model again.

    Raises:
        UntrustedModelError: these are other bytes than were kept, or they hold what a model of ours does not.
    """
    if fingerprint(stored) != expected_sha256:
        raise UntrustedModelError("The stored model is not the one that was kept: its hash differs.")
    try:
        unknown = sorted(set(skops.io.get_untrusted_types(data=stored)) - _TRUSTED)
        if unknown:
            raise UntrustedModelError(f"The stored model holds types that no model of ours has: {', '.join(unknown)}.")
        content = skops.io.loads(stored, trusted=sorted(_TRUSTED))
        return _model(content)
    except (UntrustedTypesFoundException, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise UntrustedModelError(f"The stored model cannot be read: {error}.") from error


def _content(model: Model) -> dict[str, Any]:
    core: dict[str, Any] | None = None
    if isinstance(model.core, LinearModel):
        core = {"base": model.core.base, "terms": list(model.core.terms)}
    elif isinstance(model.core, BoostingModel):
        core = {"estimator": model.core.estimator}
    features = [{**vars(feature), "levels": list(feature.levels)} for feature in model.features]
    return {
        "format": FORMAT,
        "kind": model.kind,
        "slope": model.slope,
        "intercept": model.intercept,
        "features": features,
        "core": core,
    }


def _model(content: dict[str, Any]) -> Model:
    if content["format"] != FORMAT:
        raise ValueError(f"it is of format {content['format']}, and {FORMAT} is read")
    features = tuple(Feature(**{**given, "levels": tuple(given["levels"])}) for given in content["features"])
    given = content["core"]
    core: LinearModel | BoostingModel | None = None
    if given is not None and "terms" in given:
        core = LinearModel(features, given["base"], tuple(given["terms"]))
    elif given is not None:
        if not isinstance(given["estimator"], HistGradientBoostingClassifier):
            raise TypeError("its core is no model")
        core = BoostingModel(features, given["estimator"])
    return Model(content["kind"], core, content["slope"], content["intercept"])


def _canonical(stored: bytes) -> bytes:
    """Without addresses of memory and times: parts are named and numbered in the order in which they are met."""
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        schema = json.loads(archive.read("schema.json"))
        parts = {name: archive.read(name) for name in archive.namelist() if name != "schema.json"}
    names: dict[str, str] = {}
    numbers: dict[int, int] = {}
    _renumber(schema, names, numbers)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, renamed in names.items():
            archive.writestr(zipfile.ZipInfo(renamed, _EPOCH), parts[name], zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo("schema.json", _EPOCH), json.dumps(schema), zipfile.ZIP_DEFLATED)
    return written.getvalue()


def _renumber(node: Any, names: dict[str, str], numbers: dict[int, int]) -> None:  # noqa: ANN401  # JSON
    if isinstance(node, list):
        for part in node:
            _renumber(part, names, numbers)
    if not isinstance(node, dict):
        return
    if "__id__" in node:
        node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
    if isinstance(node.get("file"), str):
        node["file"] = names.setdefault(node["file"], f"{len(names) + 1}.npy")
    for part in node.values():
        _renumber(part, names, numbers)
