"""Split-half reliability of a recording in time.

reliability = SB(mean over halves of corr(half 1, half 2)),    SB(r) = 2 r / (1 + r),

per neuroid and time bin, over stimuli. Correlations are averaged before the Spearman-Brown
correction, which is concave: corrected first, noisy halves pull the mean down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurofit.analyses.analysis import register_analysis, score_variable, variable
from neurofit.config.compute import Compute, Progress
from neurofit.config.options import check_fields, option
from neurofit.metrics.averages import nanmean, nanmedian
from neurofit.metrics.bootstrap import RESAMPLED, describe_interval, draw, percentile_interval
from neurofit.metrics.consistency import spearman_brown
from neurofit.metrics.resampled_halves import median_shifts
from neurofit.recordings.recording import Recording
from neurofit.recordings.reliability import check_stimuli, half_correlations
from neurofit.results.schema import time_coords

FORMULA = (
    "reliability = SB(mean r of two trial halves), SB(r) = 2 r / (1 + r), median over neuroids"
)


@dataclass(frozen=True, kw_only=True)
class CeilingConfig:
    """Options of a ceiling.

    Parameters
    ----------
    n_halves
        Number of random halvings of the trials of each stimulus.
    n_bootstraps, interval, bootstrap_over
        Number of bootstrap samples, coverage of the interval, and what is resampled: "neuroids",
        "stimuli" or "both". Stimuli are drawn from the means of the halves; see
        `neurofit.metrics.resampled_halves`.
    seed
        Random seed for halves and bootstraps.
    """

    n_halves: int = option(10, least=1, help="Number of random halvings of the trials.")
    n_bootstraps: int = option(1000, least=1, help="Number of bootstrap samples.")
    interval: float = option(0.95, above=0, below=1, help="Coverage of the confidence interval.")
    bootstrap_over: str = option(
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
        or twice if trials are missing.
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
        and both halves have fewer than `neurofit.recordings.trials.MIN_TEST`; `r_halves` (half
        neuroid time_bin), not corrected. Where stimuli are resampled, `reliability_low` and
        `reliability_high` (neuroid time_bin).

    Raises
    ------
    NeurofitError
        If a stimulus has a single repetition, or there are fewer than three stimuli.
    MachineError
        If bootstrap samples of the stimuli fit neither into memory nor on the disk.
    """
    del compute
    check_stimuli(recording)
    r, samples = half_correlations(
        recording,
        n_halves=config.n_halves,
        n_draws=0 if config.bootstrap_over == "neuroids" else config.n_bootstraps,
        seed=config.seed,
        progress=progress,
    )
    return _make_result(recording, r, samples, config)


def _make_result(
    recording: Recording, r: np.ndarray, samples: np.ndarray, config: CeilingConfig
) -> xr.Dataset:
    responses, over = recording.responses, config.bootstrap_over
    tails = [(1 - config.interval) / 2, (1 + config.interval) / 2]
    mean_r = nanmean(r, axis=0)
    reliability = spearman_brown(mean_r)
    draws = draw(len(mean_r), n_bootstraps=config.n_bootstraps, seed=config.seed)
    if over == "stimuli":
        draws = np.broadcast_to(np.arange(len(mean_r)), draws.shape)
    shifts = np.zeros((config.n_bootstraps, mean_r.shape[1]))
    words = describe_interval(config.interval, config.n_bootstraps, over)
    own: dict[str, Any] = {}
    if over != "neuroids":
        bounds = np.full((2, *mean_r.shape), np.nan)
        for position, drawn in enumerate(samples):
            shifts[:, position] = median_shifts(
                drawn, mean_r[:, position], neuroids_resampled=over == "both"
            )
            bounds[..., position] = spearman_brown(np.quantile(drawn, tails, axis=0))
        own = {
            f"reliability_{side}": variable(
                ("neuroid", "time_bin"), bound, "detail", f"{side} end of the interval over stimuli"
            )
            for side, bound in zip(("low", "high"), bounds, strict=True)
        }
    curves = [
        nanmedian(spearman_brown(np.minimum(mean_r[neuroids] + shift, 1.0)), axis=0)
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
                ("half", "neuroid", "time_bin"), r, "detail", "correlation of two trial halves"
            ),
        },
        coords={
            **of_neuroids,
            **time_coords(responses.time_bin_start.values, responses.time_bin_end.values),
        },
        attrs={"method": f"{len(r)} random halving{'s' * (len(r) > 1)} of the trials"},
    )
