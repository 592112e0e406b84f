"""When is each image identified? Object solution times of an area and of a model's layers.

An image's solution time is when the d' of decoders for it (`neurofit.metrics.solution_times`)
reaches a threshold: the animals' behavioural d' for this image (Kar et al. 2019, Nat. Neurosci.
22:974) or one number for all images. Those of a layer are correlated over images with those of the
recording, without the recording's trial noise:

    r(layer, half of the trials) / sqrt(r(half 1, half 2)),    r: Spearman's, mean over halvings

over the images that all three solve.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurofit.analyses.analysis import register_analysis, score_variable, variable
from neurofit.analyses.decoders import DecodersConfig, Decoding, Patterns
from neurofit.analyses.windows import need_bins
from neurofit.config.compute import Compute, Progress
from neurofit.config.options import option
from neurofit.errors import NeurofitError, unknown_name
from neurofit.metrics.averages import nanmedian
from neurofit.metrics.bootstrap import draw, percentile_interval
from neurofit.metrics.consistency import spearman_brown
from neurofit.metrics.solution_times import (
    CAP,
    MIN_IMAGES,
    agreement,
    image_dprimes,
    rank_correlation,
)
from neurofit.metrics.solution_times import (
    solution_times as times_of,
)
from neurofit.metrics.two_way import percent
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording

BEHAVIOUR = "i1"
"""Column of the stimuli with the animals' behavioural d'."""

THRESHOLD = 0.5
"""Threshold for all images without such a column."""


@dataclass(frozen=True, kw_only=True)
class SolutionTimesConfig(DecodersConfig):
    """Options of solution times.

    Parameters
    ----------
    threshold
        d' at which an image counts as solved: a number, at most 5, to which d' is limited; or the
        name of a column of the stimuli. None takes the column `i1` if there is one, otherwise 0.5.
    n_halves
        Number of random halvings of the trials.
    min_z
        There is a corrected correlation if that of the halves is this many standard errors above 0.
    n_bootstraps
        Number of bootstrap samples of the images.
    labels, n_folds, groups, penalty, n_sites, n_samples, layers, interval, seed
        As in `neurofit.DecodingConfig`.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.SolutionTimesConfig(threshold=0.4, n_halves=3)
    SolutionTimesConfig(threshold=0.4, n_halves=3)
    """

    threshold: float | str | None = option(
        None,
        parse=str,
        metavar="D|COLUMN",
        help="d' at which an image is solved: a number or a column of the stimuli.",
        default_text="the column i1 (behaviour), or else 0.5",
    )
    n_halves: int = option(5, least=1, help="Number of random halvings of the trials.")
    min_z: float = option(
        3.0, least=0, help="Standard errors by which the reliability must exceed 0."
    )
    n_bootstraps: int = option(1000, least=20, help="Number of bootstrap samples of the images.")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.threshold
        with suppress(ValueError):  # from the command line, a number is a text
            given = None if given is None else float(given)
            object.__setattr__(self, "threshold", given)
        if isinstance(given, float) and not 0 < given <= CAP:
            raise NeurofitError(
                f"threshold must be a d' above 0 and at most {CAP:g}, to which d' is "
                f"limited, or a column of the stimuli; got {given:g}.",
                option="threshold",
            )

    def check_recording(self, recording: Recording) -> None:
        """Raise NeurofitError if a recording has one time bin, or lacks labels or a threshold."""
        need_bins(recording, 2, "A solution time")
        super().check_recording(recording)
        find_thresholds(recording, self)


@register_analysis(SolutionTimesConfig)
def solution_times(
    activations: Activations,
    recording: Recording,
    config: SolutionTimesConfig = SolutionTimesConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Object solution times of images, and their noise-corrected correlation with a model's.

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order.
    recording
        Repeated trials of one area, whose stimuli have labels; neuroids that lack a stimulus in
        some half are left out.
    config
        Threshold, labels, layers, folds, numbers of sites, decoder and interval.
    compute
        Not used.
    progress
        Called with ("decoders", sets of responses done, sets in total).

    Returns
    -------
    Dataset
        `solved` (model time_bin), the share of images that are solved by then, with `solved_low`
        and `solved_high`; `correlation`
        (layer), corrected for trial noise, with `correlation_low` and `correlation_high`;
        `raw_correlation`, `reliability` and `n_images` (layer); `median_time` (model) in ms with
        its interval; `solution_time` (model stimulus), `solution_time_of_half` (side half
        stimulus), `i1` (model stimulus time_bin) and `threshold` (stimulus).

    Raises
    ------
    NeurofitError
        If stimuli do not match or have no labels or threshold, a layer is unknown, there are fewer
        sites or units than asked for, or a fold has all images of a label.

    References
    ----------
    Kar et al. (2019), Nat. Neurosci. 22:974; Kubilius, Schrimpf et al. (2019), NeurIPS 32.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> model = neurofit.create_model("rgc_tiny")
    >>> activations = neurofit.extract(model, recording.stimuli, layers=["conv3"])
    >>> options = {"n_folds": 3, "n_samples": 1, "n_sites": 10, "n_halves": 2, "n_bootstraps": 20}
    >>> config = neurofit.SolutionTimesConfig(layers=("conv3",), **options)
    >>> result = neurofit.solution_times(activations, recording, config)
    >>> result["solved"].dims
    ('model', 'time_bin')
    """
    del compute
    config.check_recording(recording)
    thresholds, words = find_thresholds(recording, config)
    found = Decoding(activations, recording, config, n_halves=config.n_halves)
    found.notes.insert(0, words)
    n_sets = len(found.names) + 2 * config.n_halves
    dprimes: list[np.ndarray] = []
    for halves in (False, True):
        for _, samples in found.systems(halves=halves):
            dprimes.append(_dprimes(found, samples))
            if progress:
                progress("decoders", len(dprimes), n_sets)
    middles = np.array(recording.time_bins).mean(axis=1)
    times = times_of(np.swapaxes(dprimes, 1, 2), thresholds, middles)
    own, half = np.split(times, [len(found.names)])
    shape = (2, config.n_halves, len(thresholds))
    i1 = np.swapaxes(dprimes[: len(own)], 1, 2)
    return _make_result(recording, found, thresholds, i1, own, half.reshape(shape), config)


def find_thresholds(
    recording: Recording, config: SolutionTimesConfig
) -> tuple[Float[np.ndarray, " stimulus"], str]:
    """Return the threshold of each image, and in a sentence where it is from.

    Raises
    ------
    NeurofitError
        If the threshold is no column of numbers.
    """
    table, given = recording.stimuli.table, config.threshold
    columns = [str(each) for each in table if table[each].dtype.kind in "fiu"]
    if given is None:
        given = BEHAVIOUR if BEHAVIOUR in columns else THRESHOLD
    if isinstance(given, float):
        note = ": there is no behavioural d', such as a column i1" * (config.threshold is None)
        return np.full(len(table), given), f"An image is solved at a d' of {given:g}{note}."
    if given not in columns:
        kind = f"threshold (a number, or a column of numbers of {recording.name})"
        raise unknown_name(kind, given, columns, option="threshold")
    return table[given].to_numpy(dtype=np.float64), f"An image is solved at its own {given}."


def _dprimes(found: Decoding, samples: list[Patterns]) -> Float[np.ndarray, "time_bin stimulus"]:
    """Return the d' of each image, mean over samples of sites or units."""
    each = [image_dprimes(found.decode(one).probabilities, found.labels.of) for one in samples]
    return np.asarray(np.mean(each, axis=0))


def _correlate(
    own: Float[np.ndarray, "model stimulus"],
    half: Float[np.ndarray, "2 half stimulus"],
    drawn: np.ndarray,
    config: SolutionTimesConfig,
) -> dict[str, np.ndarray]:
    """Return what is known of each layer's solution times, each an array (layer)."""
    rows = []
    for times in own[1:]:
        whole, samples = agreement(times, half), agreement(times, half, drawn=drawn)
        known = np.isfinite(whole.halves)  # otherwise no sample has a value either
        clear = known and whole.halves > config.min_z * np.nanstd(samples.halves)
        low, high = percentile_interval(samples.corrected[:, None], interval=config.interval)
        rows.append(
            {
                "correlation": whole.corrected if clear else np.nan,
                "correlation_low": low[0] if clear else np.nan,
                "correlation_high": high[0] if clear else np.nan,
                "raw_correlation": rank_correlation(times, own[0]),
                "reliability": spearman_brown(whole.halves),
                "n_images": np.isfinite(times + own[0]).sum(),
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _make_result(
    recording: Recording,
    found: Decoding,
    thresholds: np.ndarray,
    i1: Float[np.ndarray, "model stimulus time_bin"],
    own: Float[np.ndarray, "model stimulus"],
    half: Float[np.ndarray, "2 half stimulus"],
    config: SolutionTimesConfig,
) -> xr.Dataset:
    bins, n = np.array(recording.time_bins), len(thresholds)
    drawn = draw(n, n_bootstraps=config.n_bootstraps, seed=(config.seed, 1))
    of = _correlate(own, half, drawn, config)
    words = f"{percent(config.interval)} interval over images (bootstrap percentiles)"
    notes = [*found.notes]
    if bare := [
        name
        for name, value in zip(found.names[1:], of["correlation"], strict=True)
        if not np.isfinite(value)
    ]:
        notes.append(
            f"Without a corrected correlation: {', '.join(bare)}. Fewer than {MIN_IMAGES} images "
            f"are solved in both, or the reliability is not {config.min_z:g} standard errors "
            "above 0."
        )
    median = nanmedian(own, axis=1)
    low, high = percentile_interval(nanmedian(own[:, drawn], axis=2).T, interval=config.interval)
    solved = own[..., None] <= bins[:, 1]
    times = np.stack([np.bincount(each, minlength=n) for each in drawn]) / n
    resampled = np.einsum("di,mib->dmb", times, solved.astype(np.float64), optimize=True)
    ends = percentile_interval(resampled.reshape(len(drawn), -1), interval=config.interval)
    solved_low, solved_high = (each.reshape(len(own), -1) for each in ends)
    layer, dims = ("layer",), ("model", "time_bin")
    made = {
        "solved": score_variable(
            dims,
            solved.mean(axis=1),
            long_name="share of solved images",
            formula="share of images whose solution time has passed by the end of the bin",
            best=np.nan,
            low="solved_low",
            high="solved_high",
            interval=words,
            column="solved",
        ),
        "solved_low": variable(dims, solved_low, "interval", f"low end: {words}"),
        "solved_high": variable(dims, solved_high, "interval", f"high end: {words}"),
        "correlation": score_variable(
            layer,
            of["correlation"],
            long_name="noise-corrected rank correlation of solution times",
            formula="r(layer, half of the trials) / sqrt(r(half 1, half 2)), Spearman's over the "
            "images that all solve",
            low="correlation_low",
            high="correlation_high",
            interval=words,
            count="n_images",
            column="r",
        ),
        "correlation_low": variable(layer, of["correlation_low"], "interval", f"low end: {words}"),
        "correlation_high": variable(
            layer, of["correlation_high"], "interval", f"high end: {words}"
        ),
        "raw_correlation": score_variable(
            layer,
            of["raw_correlation"],
            long_name="rank correlation of solution times, with trial noise",
            formula="Spearman's r over the images that both solve",
            column="not corrected",
        ),
        "reliability": variable(
            layer,
            of["reliability"],
            "bound",
            "reliability of the recording's solution times (Spearman-Brown), of images that the "
            "layer solves",
            column="reliability",
        ),
        "n_images": variable(
            layer, of["n_images"], "count", "number of images that both solve", column="images"
        ),
        "median_time": score_variable(
            ("model",),
            median,
            long_name="median solution time of the images that are solved",
            formula="median over images",
            units="ms",
            best=np.nan,
            low="median_time_low",
            high="median_time_high",
            interval=words,
            column="median (ms)",
        ),
        "median_time_low": variable(("model",), low, "interval", f"low end: {words}", units="ms"),
        "median_time_high": variable(
            ("model",), high, "interval", f"high end: {words}", units="ms"
        ),
        "solution_time": variable(
            ("model", "stimulus"), own, "detail", "solution time of each image", units="ms"
        ),
        "solution_time_of_half": variable(
            ("side", "half", "stimulus"),
            half,
            "detail",
            "solution time of each image in each half of the trials",
            units="ms",
        ),
        "i1": variable(
            ("model", "stimulus", "time_bin"),
            i1.astype(np.float32),
            "detail",
            "d' of each image, mean over distractors",
        ),
        "threshold": variable(("stimulus",), thresholds, "detail", "d' at which it is solved"),
    }
    return xr.Dataset(
        made,
        coords={
            "layer": list(found.layers),
            "model": found.names,
            "side": ["first", "second"],
            "stimulus_id": ("stimulus", recording.stimuli.ids.astype(str)),
            **time_coords(*bins.T),
        },
        attrs={
            "method": f"solution times, {found.method}",
            "conclusion": json.dumps(list(_conclude(found, of, config))),
            "notes": json.dumps(notes),
        },
    )


def _conclude(
    found: Decoding, of: dict[str, np.ndarray], config: SolutionTimesConfig
) -> Iterator[str]:
    """Yield for each layer in a sentence how its solution times go with those of the area."""
    area, *layers = found.names
    for i, name in enumerate(layers):
        value, low, high, n = (
            float(of[key][i])
            for key in ("correlation", "correlation_low", "correlation_high", "n_images")
        )
        if np.isfinite(value):
            yield (
                f"Solution times of {name} and {area}: r = {value:.2f} without trial noise "
                f"({percent(config.interval)} interval {low:.2f} to {high:.2f}) over the "
                f"{n:.0f} images that both solve."
            )
