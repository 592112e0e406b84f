"""Data with a planted signal, scikit-learn's PLS on them, and mappings with their twins there."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge

from neurofit.mapping.contract import GramMapping
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping

PLS = PLSMapping(n_components=8, convergence="sklearn"), PLSRegression(8, scale=False)
RIDGE = RidgeMapping(alphas=(30.0,)), Ridge(30.0)
WITHOUT_WARNING = pytest.mark.filterwarnings(
    "ignore:features. ridge of:neurofit.errors.NeurofitWarning"
)


@pytest.fixture
def make_data() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Make features (row unit) and target sets (set row neuroid) of falling signal to noise."""
    return _make_data


@pytest.fixture
def sklearn_prediction() -> Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]:
    """Predict the rows that do not train, with `PLSRegression(scale=False)`."""
    return _sklearn_prediction


@pytest.fixture(
    params=[pytest.param(PLS, id="pls"), pytest.param(RIDGE, id="ridge", marks=WITHOUT_WARNING)]
)
def twins(request: pytest.FixtureRequest) -> tuple[GramMapping, Any]:
    """Return a mapping, and the model of scikit-learn whose predictions it should equal."""
    return request.param  # type: ignore[no-any-return]


def _make_data(
    n: int, p: int, s: int, *, n_sets: int = 3, rank: int = 30, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, rank)) / np.sqrt(np.arange(1, rank + 1))
    features = np.maximum(latent @ rng.standard_normal((rank, p)) + 3.0, 0.0)
    signal = latent @ rng.standard_normal((rank, s))
    targets = np.stack(
        [signal + noise * rng.standard_normal((n, s)) for noise in np.linspace(0.5, 5.0, n_sets)]
    )
    return features.astype(np.float32), targets


def _sklearn_prediction(
    features: np.ndarray, targets: np.ndarray, train: np.ndarray, n_components: int
) -> np.ndarray:
    model = PLSRegression(n_components, scale=False).fit(
        features[train].astype(float), targets[train]
    )
    return np.asarray(model.predict(features[~train].astype(float))).reshape(-1, targets.shape[1])
