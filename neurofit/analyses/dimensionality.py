"""How many dimensions do the responses to images span, and when? Recording and model over time.

The participation ratio, (tr C)^2 / tr(C^2) with C the covariance over stimuli, counts the principal
components that share the variance. It is estimated from pairs of trial halves without the biases of
trial noise, few stimuli and few sites (`neurofit.metrics.dimensionality`), so that a recording and
a model's layer can be compared. Besides it, the variance along principal components: those of one
trial half, measured in the other (Stringer et al. 2019, Nature 571:361).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float
from scipy.stats import t as student_t

from neurofit.activations.activations import check_inputs
from neurofit.analyses.analysis import register_analysis, score_variable, variable
from neurofit.analyses.layers import LayersConfig, kernel_of
from neurofit.config.compute import Compute, Progress
from neurofit.config.options import option
from neurofit.metrics.dimensionality import Traces, traces
from neurofit.metrics.two_way import percent
from neurofit.recordings.reliability import check_stimuli
from neurofit.recordings.trials import TrialSets, deal_trials
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording

MIN_Z = 2.0
"""A recording has a dimensionality where tr(C^2) is so many standard errors above 0."""


@dataclass(frozen=True, kw_only=True)
class DimensionalityConfig(LayersConfig):
    """Options of a dimensionality.

    Parameters
    ----------
    layers
        Names of layers; None takes the layers that stand for the region.
    n_halves
        Number of random halvings of the trials, over which both traces are averaged.
    n_components
        Number of principal components whose variance is stored.
    n_groups, interval
        Number of groups of stimuli that a jackknife leaves out in turn, and coverage of the
        interval.
    seed
        Random seed for trial halves and groups.

    Raises
    ------
    NeurofitError
        If an option is out of its range.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.DimensionalityConfig(layers=("conv3", "conv5"), n_halves=20)
    DimensionalityConfig(layers=('conv3', 'conv5'), n_halves=20)
    """

    n_halves: int = option(10, least=1, help="Number of random halvings of the trials.")
    n_components: int = option(
        50, least=1, help="Number of principal components whose variance is stored."
    )
    n_groups: int = option(
        20, least=3, help="Groups of stimuli that the jackknife leaves out in turn."
    )
    seed: int = option(0, least=0, help="Random seed for trial halves and groups.")


@register_analysis(DimensionalityConfig)
def dimensionality(
    activations: Activations,
    recording: Recording,
    config: DimensionalityConfig = DimensionalityConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Dimensionality of a recording and of a model's layers over time (participation ratio).

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order.
    recording
        Repeated trials of one area; neuroids that lack a stimulus are left out of a bin.
    config
        Layers, trial halves and interval.
    compute
        Not used.
    progress
        Called with ("time bins", bins done, bins in total).

    Returns
    -------
    Dataset
        `dimensionality` with `dimensionality_low` and `dimensionality_high`, and
        `dimensionality_of_sites` (model time_bin), of the recording and of each layer;
        `spectrum` (model component time_bin), the variance along principal components;
        `n_units` (model time_bin).

    Raises
    ------
    NeurofitError
        If stimuli do not match, a layer is unknown, or there are fewer than four stimuli.

    References
    ----------
    Chun, Canatar, Chung & Lee (2025), arXiv 2509.26560; Stringer et al. (2019), Nature 571:361.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> model = neurofit.create_model("rgc_tiny")
    >>> activations = neurofit.extract(model, recording.stimuli, layers=["conv3"])
    >>> config = neurofit.DimensionalityConfig(layers=("conv3",), n_halves=2)
    >>> result = neurofit.dimensionality(activations, recording, config)
    >>> result["dimensionality"].dims, result["model"].values.tolist()
    (('model', 'time_bin'), ['V4 of hvm-sim', 'rgc_tiny conv3'])
    """
    del compute
    check_stimuli(recording)
    check_inputs(activations, recording)
    layers = config.layers_for(activations, recording.regions[0])
    names = [f"{recording.regions[0]} of {recording.name}"]
    names += [f"{activations.model} {layer}" for layer in layers]
    bins, rows = recording.time_bins, recording.stimulus_rows
    n = len(recording.stimuli)
    trials = TrialSets(rows, deal_trials(rows, n_halves=config.n_halves, seed=config.seed))
    shuffled = np.random.default_rng(config.seed).permutation(n)
    groups = np.zeros((min(config.n_groups, n), n), dtype=bool)
    for group, members in zip(groups, np.array_split(shuffled, len(groups)), strict=True):
        group[members] = True
    covered = np.array([activations.covered(layer, bins) for layer in layers])
    shape = (1 + len(layers), len(bins))
    found = np.full((4, *shape), np.nan)  # population, its interval, and recorded sites
    spectrum = np.full((shape[0], config.n_components, shape[1]), np.nan)
    count = np.zeros(shape, dtype=np.int64)
    constant: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for b, time_bin in enumerate(bins):
        sets = trials.means(recording.block(b))[1:]
        both = np.split(sets[..., np.isfinite(sets).all(axis=(0, 1))], 2)
        count[0, b] = both[0].shape[2]
        pairs = [pair for each in zip(*both, strict=True) for pair in (each, each[::-1])]
        found[:, 0, b] = _estimate([traces(x, y, groups) for x, y in pairs[::2]], groups, config)
        spectrum[0, :, b] = np.mean([_variances(x, y, config) for x, y in pairs], axis=0)
        for row in np.flatnonzero(covered[:, b]):
            features = activations.features(layers[row], time_bin)
            key = id(features)  # a layer that does not change is one array
            if key not in constant or constant[key][0] is not features:
                values = _estimate([traces(features, features, groups)], groups, config)
                constant = {**constant, key: (features, values)}
            found[:, 1 + row, b] = constant[key][1]
            spectrum[1 + row, :, b] = _feature_variances(features, config)
            count[1 + row, b] = features.shape[1]
        if progress:
            progress("time bins", b + 1, len(bins))
    return _make_result(recording, names, found, spectrum, count, config)


def _estimate(
    halves: list[list[Traces]], groups: Bool[np.ndarray, "group stimulus"], config: Any
) -> Float[np.ndarray, " 4"]:
    """Return the ratio of the population, its interval, and the ratio of the sites.

    The standard error of the logarithm is that of a delete-a-group jackknife.
    """
    whole, *without = (sum(each[1:], each[0]) for each in zip(*halves, strict=True))
    n = len(groups)
    own = np.array([each.population_trace for each in without])
    spread = np.sqrt((n - 1) * own.var())
    if not whole.population_trace > MIN_Z * spread or not whole.population > 0:
        return np.full(4, np.nan)
    logs = np.log([each.population for each in without])
    if not np.isfinite(logs).all():
        return np.full(4, np.nan)
    margin = student_t.ppf((1 + config.interval) / 2, n - 1) * np.sqrt((n - 1) * logs.var())
    value = whole.population
    ends = value * np.exp([-margin, margin])
    return np.array([value, *ends, whole.recorded])


def _variances(
    x: Float[np.ndarray, "stimulus site"], y: Float[np.ndarray, "stimulus site"], config: Any
) -> Float[np.ndarray, " component"]:
    """Return the covariance of two halves along the principal components of the first."""
    x, y = (each - each.mean(axis=0) for each in (x, y))
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    axes = axes[: config.n_components]
    shared = ((x @ axes.T) * (y @ axes.T)).sum(axis=0) / (len(x) - 1)
    return np.pad(shared, (0, config.n_components - len(shared)), constant_values=np.nan)


def _feature_variances(
    features: Float[np.ndarray, "stimulus unit"], config: Any
) -> Float[np.ndarray, " component"]:
    """Return the largest eigenvalues of the covariance of features."""
    kernel = kernel_of(features)
    kernel = kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()
    values = np.linalg.eigvalsh(kernel)[::-1][: config.n_components] / (len(features) - 1)
    return np.pad(values, (0, config.n_components - len(values)), constant_values=np.nan)


def _make_result(
    recording: Recording,
    names: list[str],
    found: np.ndarray,
    spectrum: np.ndarray,
    count: np.ndarray,
    config: DimensionalityConfig,
) -> xr.Dataset:
    dims = ("model", "time_bin")
    words = f"{percent(config.interval)} interval over stimuli, for each time bin on its own"
    halvings = f"{config.n_halves} halving{'s' * (config.n_halves > 1)} of the trials"
    return xr.Dataset(
        {
            "dimensionality": score_variable(
                dims,
                found[0],
                long_name="participation ratio",
                formula="(tr C)^2 / tr(C^2), without trial noise, for a population of many sites",
                best=np.nan,
                low="dimensionality_low",
                high="dimensionality_high",
                interval=words,
                count="n_units",
                column="dimensions",
            ),
            "dimensionality_low": variable(dims, found[1], "interval", f"low end: {words}"),
            "dimensionality_high": variable(dims, found[2], "interval", f"high end: {words}"),
            "dimensionality_of_sites": score_variable(
                dims,
                found[3],
                long_name="participation ratio of these sites or units, without trial noise",
                formula="(tr C)^2 / tr(C^2), without trial noise",
                best=np.nan,
                column="of sites",
            ),
            "spectrum": variable(
                ("model", "component", "time_bin"),
                spectrum,
                "detail",
                "variance along principal components, of one trial half in the other",
                units="(spikes/s)^2 for the recording",
            ),
            "n_units": variable(dims, count, "count", "number of sites or units", column="units"),
        },
        coords={
            "model": names,
            "component": np.arange(1, config.n_components + 1),
            **time_coords(*np.array(recording.time_bins).T),
        },
        attrs={
            "method": f"participation ratio, {halvings}",
        },
    )
