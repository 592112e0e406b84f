"""The contract of a mapping, the registry of mappings, and how a configuration names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from neurofit.config.registry import Registry
from neurofit.errors import NeurofitError
from neurofit.mapping.fits import MappingPlan, Smoother
from neurofit.mapping.gram import Gram, GramPlan

T = TypeVar("T", bound=type)

MAPPINGS: Registry[Callable[..., Any]] = Registry("mapping")
"""Name -> dataclass of a mapping, a `neurofit.config.registry.Registry`.

The fields of the dataclass are the options of the mapping. `neurofit.register_mapping` adds one.

Examples
--------
>>> from neurofit.mapping import MAPPINGS
>>> MAPPINGS["pls"](n_components=10).n_components
10
"""


@runtime_checkable
class GramMapping(Protocol):
    """A linear map from features to responses, cross-validated from the features' Gram matrix.

    It sees the inner products of the rows only, which many target sets, splits and time bins share.
    `PLSMapping` and `RidgeMapping` are such mappings; a regression with `fit` and `predict` is a
    `FeatureMapping`, which is slower.

    Examples
    --------
    >>> import numpy as np
    >>> from neurofit.mapping import GramMapping, RidgeMapping, gram_of
    >>> mapping = RidgeMapping(alphas=(1.0,))
    >>> isinstance(mapping, GramMapping)
    True

    Two target sets of three neuroids, one split into 15 training rows and 5 test rows:

    >>> rng = np.random.default_rng(0)
    >>> gram, targets = gram_of([rng.normal(size=(20, 50))]), rng.normal(size=(2, 20, 3))
    >>> (predicted,) = mapping.cross_predict(gram, targets, np.arange(20)[None] < 15)
    >>> predicted.shape
    (2, 5, 3)
    """

    @property
    def linear(self) -> bool:
        """Whether predictions of target sets after the first are linear in them."""
        ...

    @property
    def name(self) -> str:
        """Name of the mapping with every option that is not at its default."""
        ...

    @property
    def precision(self) -> str:
        """Precision of the Gram's products: "auto", "float32" or "float64"."""
        ...

    def plan(self, gram: GramPlan, *, n_sets: int, n_splits: int, n_neuroids: int) -> MappingPlan:
        """Choose the algorithm and estimate its cost before a feature is read."""
        ...

    def cross_predict(
        self, gram: Gram, targets: np.ndarray, train: np.ndarray, *, times: int = 1
    ) -> list[np.ndarray]:
        """Predict the test rows of each split: list over splits of (set test neuroid).

        Parameters
        ----------
        gram
            Gram matrix of the features of all rows.
        targets
            Target sets (set row neuroid); the first is the mean over all trials.
        train
            Training rows of each split (split row).
        times
            Number of time bins stacked along the rows, bin after bin.

        Returns
        -------
        list of numpy.ndarray
            Predictions (set test neuroid) of each split.
        """
        ...


@runtime_checkable
class SmoothingMapping(GramMapping, Protocol):
    """A mapping that states its smoothers, from which intervals over training stimuli follow."""

    def cross_smooth(
        self, gram: Gram, targets: np.ndarray, train: np.ndarray
    ) -> Iterator[tuple[np.ndarray, Smoother]]:
        """Yield predictions of the test rows (set test neuroid) and the smoother of each split.

        Parameters are those of `cross_predict`; each stimulus is one row.
        """
        ...


@runtime_checkable
class FeatureMapping(Protocol):
    """A regression that sees the features themselves, as scikit-learn's regressors do.

    It is copied for each split and target set, so `fit` may keep what it learns on the object.

    Examples
    --------
    >>> import neurofit
    >>> from neurofit.mapping import FeatureMapping
    >>> from sklearn.linear_model import Lasso
    >>> isinstance(Lasso(), FeatureMapping)
    True
    >>> neurofit.ScoreConfig(mapping=Lasso(alpha=0.1)).mapping
    Lasso(alpha=0.1)
    """

    def fit(self, features: np.ndarray, responses: np.ndarray, /) -> Any:
        """Fit features (row unit) to responses (row neuroid)."""
        ...

    def predict(self, features: np.ndarray, /) -> np.ndarray:
        """Return predicted responses (row neuroid)."""
        ...


def register_mapping(name: str) -> Callable[[T], T]:
    """Return a decorator that registers a dataclass as a mapping.

    It has `fit` and `predict` (`FeatureMapping`) or `cross_predict` (`GramMapping`). Fields made
    with `neurofit.config.options.option` become options of the command line, such as
    `--ridge-select` for the field `select` of the mapping "ridge".

    Parameters
    ----------
    name
        Name of the mapping in configurations and on the command line.

    Returns
    -------
    Callable
        Decorator of a dataclass whose fields all have defaults. `fit` takes features (row unit) and
        responses (row neuroid), and `predict` features (row unit).

    Raises
    ------
    NeurofitError
        If the class is not a dataclass, or the name is taken.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import neurofit
    >>> from sklearn.linear_model import Lasso
    >>> @neurofit.register_mapping("lasso")
    ... @dataclass
    ... class LassoMapping:
    ...     alpha: float = 1.0
    ...     def fit(self, features, responses):
    ...         self.fitted = Lasso(self.alpha).fit(features, responses)
    ...     def predict(self, features):
    ...         return self.fitted.predict(features)
    >>> neurofit.ScoreConfig(mapping="lasso")
    ScoreConfig(mapping='lasso')
    """

    def decorate(mapping: T) -> T:
        if not is_dataclass(mapping):
            raise NeurofitError(f"A mapping must be a dataclass; {mapping.__name__} is not.")
        MAPPINGS.register(name)(mapping)
        return mapping

    return decorate


def find_mapping(given: Any) -> GramMapping | FeatureMapping:
    """Return a mapping by its registered name, or the object given.

    Parameters
    ----------
    given
        Name in `MAPPINGS`, or a mapping.

    Returns
    -------
    GramMapping or FeatureMapping
        Mapping with the default options for a name, else the object itself.

    Raises
    ------
    NeurofitError
        If the name is unknown, or the object has neither `cross_predict` nor `fit` and `predict`.

    Examples
    --------
    >>> from neurofit.mapping import find_mapping
    >>> find_mapping("ridge")
    RidgeMapping(alphas=None, select='loo', precision='float64', device='cpu')
    >>> find_mapping("pls").name
    'pls'
    """
    mapping: Any = MAPPINGS[given]() if isinstance(given, str) else given
    if isinstance(mapping, type) or not isinstance(mapping, GramMapping | FeatureMapping):
        raise NeurofitError(
            "A mapping is a registered name, or an object with cross_predict or with fit and "
            f"predict; got {mapping!r}. Registered: {', '.join(MAPPINGS)}."
        )
    return mapping


def on_device(mapping: GramMapping, device: str) -> GramMapping:
    """Return the mapping computed on a device, if it has a field `device`."""
    if is_dataclass(mapping) and any(each.name == "device" for each in fields(mapping)):
        return replace(mapping, device=device)
    return mapping


def mapping_key(given: object) -> str:
    """Return the short name of a mapping: its registered name, else the name of its class."""
    if isinstance(given, str):
        return given
    for key in MAPPINGS:
        if type(given) is MAPPINGS[key]:
            return key
    return type(given).__name__


def describe_mapping(given: object) -> dict[str, Any]:
    """Return the name and the parameters of a mapping, ready for JSON."""
    mapping: Any = MAPPINGS[given]() if isinstance(given, str) else given
    if is_dataclass(mapping) and not isinstance(mapping, type):
        own: Mapping[str, Any] = {
            key: value for key, value in asdict(mapping).items() if key != "device"
        }
    else:
        values = getattr(mapping, "__dict__", {})
        own = {key: repr(value) for key, value in values.items() if key[0] != "_"}
    return {"name": mapping_key(mapping), **own}
