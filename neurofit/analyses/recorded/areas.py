"""Areas as models: one recorded area predicts another, at each lag between them.

    s(t', t) = r_xy / sqrt(r_xx r_yy)       source in bin t', target in bin t, lag t - t'
    profile(lag)    mean of s(t - lag, t) over the bins t of which every lag has a score
    direction(lag)  mean of s(t - lag, t) - s(t, t - lag) over pairs of bins

The profile compares the lags of the same target bins. Its largest value is the lag that explains
best, to which a parabola is fitted; each split also chooses a lag by its training stimuli alone,
and the score of this lag on the split's test stimuli is `held_out_score`. The direction is
positive if the source runs ahead of the target, and 0 if both follow the same course, however slow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jaxtyping import Int

from neurofit.analyses.analysis import register_analysis
from neurofit.analyses.comparison.words import describe_p
from neurofit.analyses.encoding.mappings import find_mappings, mapping_device
from neurofit.analyses.encoding.predictions import in_parallel
from neurofit.analyses.encoding.splits import draw_splits
from neurofit.analyses.recorded.config import RecordedConfig
from neurofit.analyses.recorded.contrasts import combine
from neurofit.analyses.recorded.fits import Scores, Target, fit_maps
from neurofit.analyses.recorded.lags import (
    Lags,
    banded,
    describe_direction,
    describe_map,
    describe_profile,
)
from neurofit.analyses.recorded.populations import Population, aligned
from neurofit.analyses.windows import need_bins
from neurofit.config.compute import Compute, Progress
from neurofit.config.options import option
from neurofit.errors import NeurofitError
from neurofit.metrics.two_way import percent
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.recordings.recording import Recording


@dataclass(frozen=True, kw_only=True)
class AreasConfig(RecordedConfig):
    """Options of maps between areas; for the fits see `RecordedConfig`.

    Parameters
    ----------
    source
        Area of the same recording ("V4"), or another recording and its area ("NAME:V4"); used by
        `neurofit.run` and the command line only.
    max_lag
        Largest lag in ms, in either direction.
    unique
        Whether to compute what each lag explains beyond lag 0; this takes several times as long.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.AreasConfig(source="V4", max_lag=30)
    AreasConfig(source='V4', max_lag=30)
    """

    source: str = option(
        "",
        panel="Recording",
        metavar="[RECORDING:]AREA",
        help="Area that predicts: one of the same recording, or RECORDING:AREA.",
    )
    max_lag: int = option(50, least=0, help="Largest lag (ms) in either direction.")
    unique: bool = option(
        False, help="Compute also what each lag explains beyond lag 0 (several times as long)."
    )

    def check_recording(self, recording: Recording) -> None:
        """Raise NeurofitError if a recording has one time bin, or lacks a column."""
        need_bins(recording, 2, "A lag between areas")
        super().check_recording(recording)


@register_analysis(AreasConfig, models=0, sources=1)
def areas(
    source: Recording,
    recording: Recording,
    config: AreasConfig = AreasConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Areas as models: maps from one recorded area to another at each lag.

    Parameters
    ----------
    source
        Repeated trials of the area that predicts, with the stimuli and time bins of the recording.
    recording
        Repeated trials of the area that is predicted. A neuroid without 2 valid trials of every
        stimulus in a bin has no part in that bin, on either side.
    config
        Largest lag, mapping, splits and halves.
    compute
        Cores and device; these do not change the numbers.
    progress
        Called with (what is being done, steps done, steps in total).

    Returns
    -------
    Dataset
        `lag_map`, s (time_bin_source time_bin); `profile` (lag); `direction` (distance) and its
        mean `direction_mean`; `best_lag` in ms with its interval; `held_out_score`, the score of
        the lag that training stimuli choose; with `unique`, `unique` (lag).

    Raises
    ------
    NeurofitError
        If stimuli or time bins do not match, or an area has too few neuroids.

    Examples
    --------
    >>> import neurofit
    >>> window = (120, 150)
    >>> source = neurofit.load_recording("hvm-sim", region="V4", window=window)
    >>> target = neurofit.load_recording("hvm-sim", region="IT", window=window)
    >>> config = neurofit.AreasConfig(max_lag=10, n_splits=2, n_halves=1)
    >>> neurofit.areas(source, target, config)["profile"].dims
    ('lag',)
    """
    config.check_recording(recording)
    source = aligned(source, recording)
    splits = draw_splits(recording, config)
    device = mapping_device(compute.device)
    (mapping,) = find_mappings(config, device=device)
    names = source.regions[0], recording.regions[0]
    first = Population.read(source, config, name=names[0])
    target = Target.of(Population.read(recording, config, name=names[1]), splits)
    bins = np.array(recording.time_bins)
    middles = bins.mean(axis=1)
    near = np.abs(np.subtract.outer(middles, middles)) <= config.max_lag
    done: dict[int, tuple[Scores, np.ndarray, np.ndarray]] = {}

    def fit(at: Int[np.ndarray, " time_bin"]) -> None:
        a = int(at[0])
        to = np.flatnonzero(near[a] & target.population.usable.any(axis=0))
        maps = fit_maps(first, (a,), target, to, mapping)
        each = np.stack(
            [maps.pool(target, [split]).score for split in range(len(splits.train))]
        )  # of test stimuli
        done[a] = Scores.of(maps, target, min_z=config.min_z), maps.held_out(target), each

    todo = [np.array([a]) for a in range(len(bins)) if first.covers(a)]
    if not todo:
        raise NeurofitError(f"No time bin of {source.name} has neuroids that predict.")
    report = progress or (lambda *_: None)
    report("source bins", 0, len(todo))
    for n, _ in enumerate(in_parallel(fit, todo, n_jobs=compute.jobs), 1):
        report("source bins", n, len(todo))
    lags = Lags.of(done, near & target.population.usable.any(axis=0), middles)
    made = {
        **describe_map(lags, config, target),
        **describe_profile(lags, config, splits.places),
        **describe_direction(lags, config),
    }
    if config.unique:
        made |= _unique(lags, first, target, mapping, config, compute, report)
    notes = [*splits.notes, *first.note(), *target.population.note(), *lags.notes(bins)]
    name = f"{names[0]} of {source.name}"
    result = xr.Dataset(
        made,
        coords={
            **time_coords(*bins.T, dim="time_bin_source"),
            **time_coords(*bins.T),
            "lag": ("lag", lags.lags, {"long_name": "lag (ms)"}),
            "distance": ("distance", lags.distances, {"long_name": "ms apart"}),
        },
        attrs={
            "source": name,
            "method": f"{name} as the source, {mapping.name} between trial halves",
            "notes": json.dumps(notes),
        },
    )
    result.attrs["conclusion"] = json.dumps(list(_conclude(result, *names, config)))
    return result


def _conclude(result: xr.Dataset, source: str, target: str, config: AreasConfig) -> Iterator[str]:
    """Yield the lag and the direction, in sentences that a paper can use."""
    level = percent(config.interval)
    lag, low, high = (float(result[f"best_lag{end}"]) for end in ("", "_low", "_high"))
    if np.isfinite(lag):
        yield (
            f"{source} explains {target} best at a lag of {lag:.1f} ms ({level} interval {low:.1f} "
            f"to {high:.1f})."
        )
    mean, low, high, p = (
        float(result[f"direction_mean{end}"]) for end in ("", "_low", "_high", "_p")
    )
    if np.isfinite(mean):
        found = (
            f"(difference of r {mean:.3f}, {level} interval {low:.3f} to {high:.3f}, "
            f"{describe_p(p)})"
        )
        if p < 1 - config.interval:
            yield f"{source} runs {'ahead of' if mean > 0 else 'behind'} {target} {found}."
        else:
            yield f"It was not found that {source} runs ahead of {target} or behind {found}."


def _unique(
    lags: Lags,
    source: Population,
    target: Target,
    mapping: Any,
    config: AreasConfig,
    compute: Compute,
    report: Callable[..., object],
) -> dict[str, Any]:
    """Return what the source at a lag explains beyond the source at lag 0.

    A split whose training stimuli are predicted no better with both keeps the map of lag 0, so that
    a lag which adds nothing takes nothing away.
    """
    wanted = np.flatnonzero(np.isin(lags.targets, lags.common) & (lags.lag != 0))
    found: dict[int, Scores] = {}  # of pairs that some split's training stimuli choose

    def fit(at: np.ndarray) -> None:
        b = int(at[0])
        alone = fit_maps(source, (b,), target, at, mapping)
        for n in wanted[lags.targets[wanted] == b].tolist():
            both = fit_maps(source, (int(lags.sources[n]), b), target, at, mapping)
            better = (both.held_out(target) > alone.held_out(target))[:, 0]
            if better.any():
                found[n] = Scores.of(both.where(better, alone), target, min_z=None)

    for n, _ in enumerate(in_parallel(fit, list(lags.common[:, None]), n_jobs=compute.jobs), 1):
        report("target bins", n, len(lags.common))
    chosen = sorted(found)
    both = Scores.join([lags.scores, *(found[n] for n in chosen)])
    score = np.nan_to_num(both.score)
    weights = np.zeros((len(score), len(lags.lags)))
    values = np.where((lags.lags == 0) | (len(lags.common) == 0), np.nan, 0.0)
    for position, n in enumerate(chosen, len(lags.lag)):
        at = int(np.searchsorted(lags.lags, lags.lag[n]))
        alone = np.flatnonzero((lags.targets == lags.targets[n]) & (lags.lag == 0))[0]
        values[at] += (score[position] ** 2 - score[alone] ** 2) / len(lags.common)
        weights[position, at] += 2 * score[position] / len(lags.common)
        weights[alone, at] -= 2 * score[alone] / len(lags.common)
    return banded(
        "unique",
        ("lag",),
        combine([both], [weights], config, values=values),
        config,
        long_name="share explained by a lag beyond lag 0",
        formula="mean of s(t - lag and t, t)^2 - s(t, t)^2 over target bins t",
        best=np.nan,
        column="unique",
    )
