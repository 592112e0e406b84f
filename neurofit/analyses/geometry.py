"""Do model and recording place images alike, and when? Noise-corrected geometry, time by time.

    g(t, t') = <M(t), R(t')> / sqrt(<M(t), M(t)> <R1(t'), R2(t')>)

M is the geometry of a layer's features at time t, R that of the responses in bin t', and R1 and R2
come from separate trials, so that noise has no part in their product. With "cka", a geometry is a
kernel centred without bias, and g is the debiased CKA; with "rdm", it is a vector of crossnobis
distances (of squared Euclidean ones for features), and g their correlation
(`neurofit.metrics.geometry`). Neither grows with the number of sites or falls with trial noise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.stats import t as student_t

from neurofit.activations.activations import check_inputs
from neurofit.analyses.analysis import register_analysis, score_variable, variable
from neurofit.analyses.layers import LayersConfig, kernel_of
from neurofit.config.compute import Compute, Progress
from neurofit.config.options import option, parse_names
from neurofit.errors import NeurofitError, some_of
from neurofit.metrics.geometry import squared_distances, u_centred
from neurofit.metrics.two_way import percent
from neurofit.recordings.reliability import check_stimuli
from neurofit.recordings.trials import TrialSets, deal_trials
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording

FORMULAS = {
    "cka": "<M(t), R(t')> / sqrt(<M(t), M(t)> <R1(t'), R2(t')>) of kernels centred without bias",
    "rdm": "correlation of squared distances (t) and crossnobis distances (t'), divided by the "
    "root of their reliability",
}

MIN_STIMULI = 8
"""Smallest number of stimuli."""


@dataclass(frozen=True, kw_only=True)
class GeometryConfig(LayersConfig):
    """Options of a geometry over time.

    Parameters
    ----------
    measure
        "cka" (debiased, linear) or "rdm" (correlation of distances, crossnobis for the recording).
    layers
        Names of layers; None takes the layers that stand for the region, of which one is chosen on
        some images and tested on the others if there are several.
    whiten
        Whether the responses of each site are divided by the standard deviation of its trial noise.
    n_splits
        Number of random divisions of the images in two, one part of which chooses the layer.
    n_halves
        Number of random halvings of the trials.
    min_z
        A time bin has a value if <R1, R2> is this many standard errors above 0; None always.
    n_groups, interval
        Number of groups of stimuli that a jackknife leaves out, and coverage of the interval.
    seed
        Random seed for divisions, halves and groups.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.GeometryConfig(measure="rdm", layers=("conv3",))
    GeometryConfig(layers=('conv3',), measure='rdm')
    """

    measure: str = option("cka", choices=FORMULAS, help="Measure: cka or rdm, noise-corrected.")
    layers: tuple[str, ...] | None = option(
        None,
        parse=parse_names,
        metavar="NAME,...",
        help="Layer names joined by commas.",
        default_text="one of the region's, chosen on other images",
    )
    whiten: bool = option(
        True, help="Divide the responses of each site by the standard deviation of its noise."
    )
    n_splits: int = option(
        5, least=1, help="Divisions of the images, one part of which chooses the layer."
    )
    n_halves: int = option(3, least=1, help="Number of random halvings of the trials.")
    min_z: float | None = option(
        4.0, least=0, help="Standard errors by which the recording's reliability must exceed 0."
    )
    n_groups: int = option(
        20, least=3, help="Groups of stimuli that the jackknife leaves out in turn."
    )
    seed: int = option(0, least=0, help="Random seed for divisions, trial halves and groups.")


@dataclass(frozen=True)
class _Inner:
    """Inner products of geometries over some stimuli.

    `cross` holds <M(t), R(t')> of each layer, `model` <M(t), M(t)>, and `recorded` <R1(t), R2(t')>,
    averaged over halvings and made symmetric.
    """

    cross: Float[np.ndarray, "layer time_bin time_bin"]
    model: Float[np.ndarray, "layer time_bin"]
    recorded: Float[np.ndarray, "time_bin time_bin"]

    def similarity(self) -> Float[np.ndarray, "layer time_bin time_bin"]:
        """Return g; NaN where a norm is not positive."""
        size = self.model[..., None] * np.diagonal(self.recorded)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(size > 0, self.cross / np.sqrt(np.abs(size)), np.nan)

    def recording_similarity(self) -> Float[np.ndarray, "time_bin time_bin"]:
        """Return the similarity of the recorded geometry in two bins."""
        own = np.diagonal(self.recorded)
        size = own[:, None] * own
        positive = (own[:, None] > 0) & (own > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(positive, self.recorded / np.sqrt(np.abs(size)), np.nan)


class _Geometries:
    """Patterns of the recording and kernels of the features, in all time bins."""

    def __init__(
        self,
        activations: Activations,
        recording: Recording,
        layers: tuple[str, ...],
        config: GeometryConfig,
        progress: Progress | None,
    ) -> None:
        self._config, bins = config, recording.time_bins
        rows = recording.stimulus_rows
        self._quarters = config.measure == "rdm"
        places = deal_trials(rows, n_halves=config.n_halves, seed=config.seed)
        if self._quarters and (least := np.bincount(rows).min()) < 4:
            raise NeurofitError(
                "The reliability of crossnobis distances needs 4 trials of each image; one has "
                f"{least}. Give measure cka.",
                option="measure",
            )
        self.patterns: list[np.ndarray] = []  # (set stimulus neuroid) of each bin
        self.kernels: list[list[np.ndarray | None]] = [[] for _ in layers]
        self.n_neuroids = np.zeros(len(bins), dtype=np.int64)
        covered = [activations.covered(layer, bins) for layer in layers]
        for b, time_bin in enumerate(bins):
            sets = self._average(rows, places, recording.block(b))
            sets = sets[..., np.isfinite(sets).all(axis=(0, 1))]
            self.patterns.append(sets)
            self.n_neuroids[b] = sets.shape[2]
            for i, layer in enumerate(layers):
                kernel = None
                if covered[i][b]:
                    dense = kernel_of(activations.features(layer, time_bin))
                    kernel = np.asarray(dense, dtype=np.float32)
                self.kernels[i].append(kernel)
            if progress:
                progress("time bins", b + 1, len(bins))

    def _average(self, rows: np.ndarray, places: np.ndarray, trials: np.ndarray) -> np.ndarray:
        """Return means of all trials and of the parts of each halving (set stimulus neuroid).

        Halves for kernels; quarters for distances, of which the first two are the first half.
        """
        halves = TrialSets(rows, places).means(trials)
        first, second = np.split(halves[1:], 2)
        parts = [halves[:1], first, second]
        if self._quarters:
            for side in (0, 1):  # each half is divided again, by the order of its trials
                own = places % 2 == side
                for place, inside in zip(places, own, strict=True):
                    sub = TrialSets(rows[inside], (place[inside] // 2)[None])
                    parts += list(sub.means(trials[inside])[1:, None])
        sets = np.concatenate(parts)
        if self._config.whiten:
            residuals = trials - halves[0][rows]
            noise = np.sqrt(np.nansum(residuals**2, axis=0) / max(len(rows) - len(halves[0]), 1))
            with np.errstate(invalid="ignore", divide="ignore"):
                sets = np.where(noise > 0, sets / noise, np.nan)
        return np.asarray(sets)

    @property
    def _pairs(self) -> tuple[list[tuple[int, int]], list[tuple[tuple[int, int], tuple[int, int]]]]:
        """Sets whose products are R, averaged, and those whose products are R1 and R2."""
        n = self._config.n_halves
        if not self._quarters:
            return [(0, 0)], [((1 + h, 1 + h), (1 + n + h, 1 + n + h)) for h in range(n)]
        first = [1 + 2 * n + 2 * h for h in range(n)]
        sides = [((a, a + 1), (a + 2 * n, a + 2 * n + 1)) for a in first]
        return [(1 + h, 1 + n + h) for h in range(n)], sides

    def inner(self, stimuli: Int[np.ndarray, " stimulus"]) -> _Inner:
        """Return the inner products over some stimuli."""
        chosen, n_bins = [sets[:, stimuli] for sets in self.patterns], len(self.patterns)

        def vectors(pairs: list[tuple[int, int]]) -> np.ndarray:
            return self._vectors(
                [np.mean([sets[a] @ sets[b].T for a, b in pairs], axis=0) for sets in chosen]
            )

        whole, sides = self._pairs
        response, recorded = vectors(whole), np.zeros((n_bins, n_bins))
        for one, two in sides:
            products = vectors([one]) @ vectors([two]).T
            recorded += (products + products.T) / (2 * len(sides))
        cross = np.full((len(self.kernels), n_bins, n_bins), np.nan)
        model = np.full((len(self.kernels), n_bins), np.nan)
        inside = np.ix_(stimuli, stimuli)
        for i, kernels in enumerate(self.kernels):
            at = [b for b, kernel in enumerate(kernels) if kernel is not None]
            if at:
                features = self._vectors([np.asarray(kernels[b])[inside] for b in at])
                cross[i, at] = features @ response.T
                model[i, at] = (features**2).sum(axis=1)
        return _Inner(cross, model, recorded)

    def _vectors(self, products: list[np.ndarray]) -> Float[np.ndarray, "time_bin pair"]:
        """Return geometries as vectors whose dot products are their inner products."""
        made = []
        for product in products:
            if self._quarters:
                distances = squared_distances(product)
                made.append((distances - distances.mean()) / np.sqrt(len(distances)))
            else:
                n = len(product)
                upper = u_centred(product)[np.triu_indices(n, 1)]
                made.append(upper * np.sqrt(2 / (n * (n - 3))))
        return np.stack(made)


@register_analysis(GeometryConfig)
def geometry(
    activations: Activations,
    recording: Recording,
    config: GeometryConfig = GeometryConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Noise-corrected similarity of geometries (CKA or RDM), model time by recorded time.

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order.
    recording
        Repeated trials of one area; neuroids that lack a stimulus are left out of a bin. Distances
        need four trials of each image.
    config
        Measure, layers and interval.
    compute
        Not used.
    progress
        Called with ("time bins", bins done, bins in total).

    Returns
    -------
    Dataset
        `geometry` (layer time_bin_model time_bin); `curve` (layer time_bin), its diagonal, with
        `curve_low` and `curve_high`; `recording_geometry` (time_bin_first time_bin), of the
        recording with itself; `z_recording` and `n_neuroids` (time_bin).

    Raises
    ------
    NeurofitError
        If stimuli do not match, a layer is unknown, or there are too few stimuli or trials.

    References
    ----------
    Kornblith et al. (2019), ICML; Walther et al. (2016), NeuroImage 137:188 (crossnobis).

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> model = neurofit.create_model("rgc_tiny")
    >>> activations = neurofit.extract(model, recording.stimuli, layers=["conv3"])
    >>> config = neurofit.GeometryConfig(layers=("conv3",), n_halves=1)
    >>> neurofit.geometry(activations, recording, config)["geometry"].dims
    ('layer', 'time_bin_model', 'time_bin')
    """
    del compute
    check_stimuli(recording)
    check_inputs(activations, recording)
    n = len(recording.stimuli)
    if n < MIN_STIMULI:
        raise NeurofitError(f"A geometry needs at least {MIN_STIMULI} stimuli; got {n}.")
    layers = config.layers_for(activations, recording.regions[0])
    found = _Geometries(activations, recording, layers, config, progress)
    rng = np.random.default_rng(config.seed)
    every = np.arange(n)
    groups = np.array_split(rng.permutation(n), min(config.n_groups, n // 4))
    parts = [every, *(np.setdiff1d(every, group) for group in groups)]
    whole, *without = [found.inner(part) for part in parts]
    names, notes = layers, []
    if config.layers is None and len(layers) > 1:
        halves = [np.array_split(rng.permutation(n), 2) for _ in range(config.n_splits)]
        chosen = [_best(found.inner(train)) for train, _ in halves]
        tested = [found.inner(test) for _, test in halves]
        values = np.nanmean(
            [each.similarity()[[layer]] for layer, each in zip(chosen, tested, strict=True)], axis=0
        )
        # the spread over stimuli is that of the layers chosen, over all stimuli
        samples = [
            np.mean([each.similarity()[[layer]] for layer in chosen], axis=0) for each in without
        ]
        names = (layers[chosen[0]],) if len(set(chosen)) == 1 else ("auto",)
        counts = [f"{layers[layer]} ({chosen.count(layer)})" for layer in sorted(set(chosen))]
        notes.append(f"Layers that other images choose (divisions): {some_of(counts)}.")
    else:
        values = whole.similarity()
        samples = [each.similarity() for each in without]
    return _make_result(recording, names, values, samples, whole, without, found, notes, config)


def _best(inner: _Inner) -> int:
    """Return the layer whose mean over the bins that all layers have is the largest."""
    curves = np.diagonal(inner.similarity(), axis1=1, axis2=2)
    common = np.isfinite(curves).all(axis=0)
    shown = curves[:, common] if common.any() else np.nan_to_num(curves, nan=-np.inf)
    return int(shown.mean(axis=1).argmax())


def _spread(samples: list[np.ndarray]) -> np.ndarray:
    """Return the standard error of a delete-a-group jackknife."""
    return np.asarray(np.sqrt((len(samples) - 1) * np.var(samples, axis=0)))


def _make_result(
    recording: Recording,
    names: tuple[str, ...],
    values: np.ndarray,
    samples: list[np.ndarray],
    whole: _Inner,
    without: list[_Inner],
    found: _Geometries,
    notes: list[str],
    config: GeometryConfig,
) -> xr.Dataset:
    bins = np.array(recording.time_bins)
    own = np.diagonal(whole.recorded)
    z = own / np.maximum(_spread([np.diagonal(each.recorded) for each in without]), 1e-300)
    clear = z >= (-np.inf if config.min_z is None else config.min_z)
    values = np.where(clear, values, np.nan)
    curve = np.diagonal(values, axis1=1, axis2=2)
    factor = student_t.ppf((1 + config.interval) / 2, len(samples) - 1)
    margin = factor * _spread([np.diagonal(each, axis1=1, axis2=2) for each in samples])
    words = f"{percent(config.interval)} interval over stimuli, for each time bin on its own"
    label = {"cka": "debiased CKA", "rdm": "RDM correlation"}[config.measure]
    of: dict[str, Any] = {"formula": FORMULAS[config.measure], "column": config.measure.upper()}
    dims = ("layer", "time_bin")
    return xr.Dataset(
        {
            "geometry": score_variable(
                ("layer", "time_bin_model", "time_bin"),
                values,
                long_name=f"noise-corrected {label}",
                panel="curve",
                **of,
            ),
            "curve": score_variable(
                dims,
                curve,
                long_name=f"noise-corrected {label} at the same time",
                low="curve_low",
                high="curve_high",
                interval=words,
                **of,
            ),
            "curve_low": variable(dims, curve - margin, "interval", f"low end: {words}"),
            "curve_high": variable(dims, curve + margin, "interval", f"high end: {words}"),
            "recording_geometry": score_variable(
                ("time_bin_first", "time_bin"),
                np.where(clear & clear[:, None], whole.recording_similarity(), np.nan),
                long_name=f"noise-corrected {label} of the recording with itself",
                formula="<R1(t), R2(t')> / sqrt(<R1(t), R2(t)> <R1(t'), R2(t')>)",
            ),
            "z_recording": variable(
                ("time_bin",), z, "detail", "<R1, R2> in standard errors over stimuli"
            ),
            "n_neuroids": variable(("time_bin",), found.n_neuroids, "count", "number of neuroids"),
        },
        coords={
            "layer": list(names),
            **time_coords(*bins.T, dim="time_bin_model"),
            **time_coords(*bins.T, dim="time_bin_first"),
            **time_coords(*bins.T),
        },
        attrs={"method": f"noise-corrected {label}", "notes": json.dumps(notes)},
    )
