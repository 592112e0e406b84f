"""Representational similarity of a model and a recording in time: RSA or CKA per bin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy.stats import t as student_t

from neurofit.activations.activations import check_inputs
from neurofit.analyses.analysis import register_analysis, score_variable, variable
from neurofit.analyses.layers import LayersConfig, kernel_of
from neurofit.config.compute import Compute, Progress
from neurofit.config.options import option
from neurofit.metrics.similarity import cka, rsa
from neurofit.metrics.two_way import percent
from neurofit.recordings.reliability import check_stimuli
from neurofit.recordings.trials import TrialSets, deal_trials
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording

Measure = Callable[[np.ndarray, np.ndarray], float]

MEASURES: dict[str, Measure] = {"rsa": rsa, "cka": cka}

FORMULAS = {
    "rsa": "Spearman r of the dissimilarities (squared Euclidean) of model and recording",
    "cka": "linear centred kernel alignment of model and recording",
}


@dataclass(frozen=True, kw_only=True)
class SimilarityConfig(LayersConfig):
    """Options of a similarity.

    Parameters
    ----------
    measure
        "rsa" (Kriegeskorte et al. 2008) or "cka" (Kornblith et al. 2019).
    layers
        Names of layers; None takes the layers that stand for the region.
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
    >>> neurofit.SimilarityConfig(measure="cka", layers=("conv3", "conv5"))
    SimilarityConfig(layers=('conv3', 'conv5'), measure='cka')
    """

    measure: str = option("rsa", choices=MEASURES, help="Measure: rsa or cka.")
    n_groups: int = option(
        20, least=3, help="Groups of stimuli that the jackknife leaves out in turn."
    )
    seed: int = option(0, least=0, help="Random seed for trial halves and groups.")


@register_analysis(SimilarityConfig)
def similarity(
    activations: Activations,
    recording: Recording,
    config: SimilarityConfig = SimilarityConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Representational similarity (RSA or CKA) of a model and an area over time.

    The bound is the same measure between the mean responses of two trial halves, over neuroids
    that have both for every stimulus. Neither is corrected for noise.

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order.
    recording
        Repeated trials of one area; neuroids that lack a stimulus are left out of a bin.
    config
        Measure, layers and interval.
    compute
        Not used.
    progress
        Called with ("time bins compared", bins done, bins in total).

    Returns
    -------
    Dataset
        `similarity` with `similarity_low` and `similarity_high` (layer time_bin); `ceiling` and
        `n_neuroids` (time_bin).

    Raises
    ------
    NeurofitError
        If stimuli do not match, a layer is unknown, or the recording has several regions or fewer
        than three stimuli.

    References
    ----------
    Kriegeskorte, Mur & Bandettini (2008), Front Syst Neurosci 2:4 (RSA); Kornblith et al. (2019),
    ICML (CKA).

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> model = neurofit.create_model("rgc_tiny")
    >>> activations = neurofit.extract(model, recording.stimuli, layers=["conv3"])
    >>> config = neurofit.SimilarityConfig(layers=("conv3",))
    >>> result = neurofit.similarity(activations, recording, config)
    >>> result["similarity"].dims, result["ceiling"].dims
    (('layer', 'time_bin'), ('time_bin',))
    """
    del compute
    check_stimuli(recording)
    check_inputs(activations, recording)
    layers = config.layers_for(activations, recording.regions[0])
    measure, bins = MEASURES[config.measure], recording.time_bins
    rows = recording.stimulus_rows
    trials = TrialSets(rows, deal_trials(rows, n_halves=1, seed=config.seed))
    shuffled = np.random.default_rng(config.seed).permutation(len(recording.stimuli))
    groups = np.array_split(shuffled, min(config.n_groups, len(shuffled)))
    factor = student_t.ppf((1 + config.interval) / 2, len(groups) - 1)
    covered = np.array([activations.covered(layer, bins) for layer in layers])
    found = np.full((3, *covered.shape), np.nan)  # value, low and high end
    bound, count = np.full(len(bins), np.nan), np.zeros(len(bins), dtype=np.int64)
    for b, time_bin in enumerate(bins):
        sets = trials.means(recording.block(b))  # (all trials and two halves, stimulus neuroid)
        complete = np.isfinite(sets).all(axis=1)  # (set neuroid)
        both = sets[1:, :, complete[1:].all(axis=0)]
        count[b] = complete[0].sum()
        response = _inner(sets[0][:, complete[0]])
        bound[b] = measure(*map(_inner, both))
        for i in np.flatnonzero(covered[:, b]):
            kernel = kernel_of(activations.features(layers[i], time_bin))
            found[0, i, b] = measure(kernel, response)
            margin = factor * _jackknife(measure, kernel, response, groups)
            found[1:, i, b] = found[0, i, b] - margin, found[0, i, b] + margin
        if progress:
            progress("time bins compared", b + 1, len(bins))
    dims = ("layer", "time_bin")
    words = f"{percent(config.interval)}, jackknife over {len(groups)} groups of stimuli"
    return xr.Dataset(
        {
            "similarity": score_variable(
                dims,
                found[0],
                long_name=config.measure.upper(),
                formula=FORMULAS[config.measure],
                low="similarity_low",
                high="similarity_high",
                interval=words,
                bound="ceiling",
                count="n_neuroids",
                column=config.measure.upper(),
            ),
            "similarity_low": variable(dims, found[1], "interval", f"low end: {words}"),
            "similarity_high": variable(dims, found[2], "interval", f"high end: {words}"),
            "ceiling": variable(
                ("time_bin",),
                bound,
                "bound",
                "the measure between trial halves",
                column="ceiling",
                scale="score",
            ),
            "n_neuroids": variable(
                ("time_bin",), count, "count", "number of neuroids", column="neuroids"
            ),
        },
        coords={"layer": list(layers), **time_coords(*np.array(bins).T)},
        attrs={"method": config.measure.upper()},
    )


def _inner(patterns: np.ndarray) -> np.ndarray:
    return np.asarray(patterns @ patterns.T)


def _jackknife(measure: Measure, a: np.ndarray, b: np.ndarray, groups: list[np.ndarray]) -> float:
    """Return the standard error over stimuli: the measure without each group of them in turn.

    A bootstrap would draw stimuli twice, and the distance of a stimulus to itself is 0 on both
    sides: it pulls the measure up.
    """
    values = []
    for group in groups:
        rest = np.setdiff1d(np.arange(len(a)), group)
        values.append(measure(a[np.ix_(rest, rest)], b[np.ix_(rest, rest)]))
    return float(np.sqrt((len(groups) - 1) * np.var(values)))
