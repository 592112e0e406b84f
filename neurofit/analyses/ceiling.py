"""Split-half reliability of a recording in time.

reliability = S / (S + c),    r = S / sqrt((S + c1) (S + c2)),

per neuroid and time bin, over stimuli, with r the mean over halves of corr(half 1, half 2) and c1,
c2 and c the means over stimuli of 1 / number of trials in half 1, in half 2 and in all. For equal
halves this is Spearman-Brown, 2 r / (1 + r). Correlations are averaged before the correction, which
is concave: corrected first, noisy halves pull the mean down.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurofit.analyses.analysis import register_analysis, score_variable, variable
from neurofit.config.compute import Compute, Progress
from neurofit.config.notebook import Configuration
from neurofit.config.options import check_fields, option
from neurofit.metrics.averages import nanmean, nanmedian
from neurofit.metrics.bootstrap import describe_bootstrap, draw, percentile_interval
from neurofit.metrics.consistency import reliability_of_halves
from neurofit.metrics.resampled_halves import median_shifts
from neurofit.metrics.two_way import RESAMPLED
from neurofit.recordings.recording import Recording
from neurofit.recordings.reliability import HalfCorrelations, check_stimuli, half_correlations
from neurofit.results.schema import time_coords

FORMULA = (
    "mean r of two trial halves, corrected to all trials (2 r / (1 + r) for equal halves), "
    "median over neuroids"
)


@dataclass(frozen=True, kw_only=True)
class CeilingConfig(Configuration):
    """Options of a ceiling.

    Parameters
    ----------
    n_halves
        Number of random halvings of the trials of each stimulus.
    n_bootstraps, interval, interval_over
        Number of bootstrap samples, coverage of the interval, and what is resampled: "neuroids",
        "stimuli" or "both". Stimuli are drawn from the means of the halves; see
        `neurofit.metrics.resampled_halves`.
    seed
        Random seed for halves and bootstraps.

    Raises
    ------
    NeurofitError
        If an option is out of its range.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.CeilingConfig(n_halves=20, interval_over="stimuli")
    CeilingConfig(n_halves=20, interval_over='stimuli')
    """

    n_halves: int = option(10, least=1, help="Number of random halvings of the trials.")
    n_bootstraps: int = option(1000, least=1, help="Number of bootstrap samples.")
    interval: float = option(0.95, above=0, below=1, help="Coverage of the confidence interval.")
    interval_over: str = option(
        "both",
        choices=RESAMPLED,
        help="What to resample for the confidence interval: neuroids, stimuli or both.",
    )
    seed: int = option(0, least=0, help="Random seed for halves and bootstraps.")

    def __post_init__(self) -> None:
        check_fields(self)


@register_analysis(CeilingConfig, models=0)
def ceiling(
    recording: Recording,
    config: CeilingConfig = CeilingConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Split-half reliability of a recording over time.

    Parameters
    ----------
    recording
        Repeated trials, of one area as a rule. It may be larger than memory: blocks are read once,
        after a first pass that checks the trials. A stimulus with fewer than 2 valid trials is left
        out for that neuroid alone.
    config
        Halves and interval.
    compute
        Not used: all halves of a block are averaged in one product.
    progress
        Called with ("blocks of the recording", blocks done, blocks in total).

    Returns
    -------
    Dataset
        `curve` (time_bin), the median over neuroids, with `curve_low` and `curve_high`;
        `n_neuroids` (time_bin); `reliability` (neuroid time_bin), NaN where a neuroid lacks stimuli
        and fewer than `neurofit.recordings.trials.MIN_TEST` remain; `r_halves` (half neuroid
        time_bin), not corrected; `stimuli_left_out` (neuroid time_bin). Where stimuli are
        resampled, `reliability_low` and `reliability_high` (neuroid time_bin).

    Raises
    ------
    NeurofitError
        If a stimulus has a single repetition, or there are fewer than three stimuli.
    MachineError
        If bootstrap samples of the stimuli fit neither into memory nor on the disk.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> config = neurofit.CeilingConfig(n_halves=2, n_bootstraps=20)
    >>> result = neurofit.ceiling(recording, config)
    >>> result["curve"].dims, result["reliability"].dims
    (('time_bin',), ('neuroid', 'time_bin'))
    """
    del compute
    check_stimuli(recording)
    found = half_correlations(
        recording,
        n_halves=config.n_halves,
        n_draws=0 if config.interval_over == "neuroids" else config.n_bootstraps,
        seed=config.seed,
        progress=progress,
    )
    return _make_result(recording, found, config)


def _make_result(
    recording: Recording, found: HalfCorrelations, config: CeilingConfig
) -> xr.Dataset:
    responses, over = recording.responses, config.interval_over
    tails = [(1 - config.interval) / 2, (1 + config.interval) / 2]
    mean_r, reliability, shares = nanmean(found.r, axis=0), found.reliability, found.shares
    draws = draw(len(mean_r), n_bootstraps=config.n_bootstraps, seed=config.seed)
    if over == "stimuli":
        draws = np.broadcast_to(np.arange(len(mean_r)), draws.shape)
    shifts = np.zeros((config.n_bootstraps, mean_r.shape[1]))
    words = describe_bootstrap(config.interval, config.n_bootstraps, over)
    own: dict[str, Any] = {}
    if over != "neuroids":
        bounds = np.full((2, *mean_r.shape), np.nan)
        for position, drawn in enumerate(found.samples):
            shifts[:, position] = median_shifts(
                drawn, mean_r[:, position], neuroids_resampled=over == "both"
            )
            bounds[..., position] = reliability_of_halves(
                np.quantile(drawn, tails, axis=0), *shares[..., position]
            )
        own = {
            f"reliability_{side}": variable(
                ("neuroid", "time_bin"), bound, "detail", f"{side} end of the interval over stimuli"
            )
            for side, bound in zip(("low", "high"), bounds, strict=True)
        }
    curves = [
        nanmedian(
            reliability_of_halves(np.minimum(mean_r[neuroids] + shift, 1.0), *shares[:, neuroids]),
            axis=0,
        )
        for neuroids, shift in zip(draws, shifts, strict=True)
    ]
    low, high = percentile_interval(np.stack(curves), interval=config.interval)
    time = ("time_bin",)
    of_neuroids = {
        str(name): (coord.dims, coord.values)
        for name, coord in responses.coords.items()
        if coord.dims == ("neuroid",)
    }
    return xr.Dataset(
        {
            "curve": score_variable(
                time,
                nanmedian(reliability, axis=0),
                long_name="split-half reliability",
                formula=FORMULA,
                column="reliability",
                low="curve_low",
                high="curve_high",
                interval=words,
                count="n_neuroids",
                samples="reliability",
            ),
            "curve_low": variable(time, low, "interval", f"low end of the interval: {words}"),
            "curve_high": variable(time, high, "interval", f"high end of the interval: {words}"),
            "n_neuroids": variable(
                time,
                (~np.isnan(reliability)).sum(axis=0),
                "count",
                "number of neuroids with a reliability",
                column="neuroids",
            ),
            "reliability": variable(
                ("neuroid", "time_bin"), reliability, "detail", "reliability of each neuroid"
            ),
            **own,
            "r_halves": variable(
                ("half", "neuroid", "time_bin"),
                found.r,
                "detail",
                "correlation of two trial halves",
            ),
            "stimuli_left_out": variable(
                ("neuroid", "time_bin"),
                found.left_out,
                "detail",
                "stimuli with fewer than 2 valid trials, which are left out",
            ),
        },
        coords={
            **of_neuroids,
            **time_coords(responses.time_bin_start.values, responses.time_bin_end.values),
        },
        attrs={
            "method": f"{len(found.r)} random halving{'s' * (len(found.r) > 1)} of the trials",
            "notes": json.dumps(_notes(found)),
        },
    )


def _notes(found: HalfCorrelations) -> list[str]:
    """Return a sentence on the stimuli that are left out, if any."""
    n_neuroids, n = len(found.left_out), int(found.left_out.any(axis=1).sum())
    few_trials = "Stimuli with fewer than 2 valid trials are left out"
    return [f"{few_trials} for {n} of {n_neuroids} neuroids."] if n else []
