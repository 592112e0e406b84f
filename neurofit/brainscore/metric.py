"""Noise-corrected predictivity per time bin as a metric of Brain-Score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from brainscore_core.metrics import Metric, Score

from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.reasons import REASONS
from neurofit.analyses.predictivity.score import score
from neurofit.analyses.predictivity.terms import without_constants
from neurofit.brainscore.conversion import from_assembly
from neurofit.brainscore.features import from_features
from neurofit.errors import NeurofitError
from neurofit.mapping import FeatureMapping, GramMapping
from neurofit.metrics.averages import nanmean, nanmedian
from neurofit.recordings.recording import Recording


class NoiseCorrectedTemporal(Metric):  # type: ignore[misc]  # Brain-Score has no types
    """Noise-corrected predictivity of the features of a model, per time bin.

    The score must not be used in `NeuralBenchmark`, which would square it and divide it by a
    ceiling once more. Use `TemporalPredictivityBenchmark`.

    Parameters
    ----------
    preset
        See `neurofit.make_config`.
    mapping
        Single mapping; by default that of the preset.
    time_mode
        See `neurofit.ScoreConfig`.
    **changes
        Further fields of `neurofit.ScoreConfig`.

    Notes
    -----
    Source: Nayebi et al. 2018; docs/method.md has the formulas. A wrong preset or field is a
    NeurofitError of the first score.
    """

    def __init__(
        self,
        *,
        preset: str = "pooled",
        mapping: str | GramMapping | FeatureMapping | None = None,
        time_mode: str = "per-bin",
        **changes: Any,
    ) -> None:
        self.preset = preset
        self.changes = {"time_mode": time_mode, **changes}
        if mapping is not None:
            self.changes["mapping"] = mapping

    def config(self, region: str) -> ScoreConfig:
        """Return the configuration of a score in this region."""
        return make_config(self.preset, layers=(region,), **self.changes)

    def __call__(self, source: xr.DataArray, target: xr.DataArray | Recording) -> Score:
        """Return the score of the features of a model.

        Parameters
        ----------
        source
            Features (presentation neuroid time_bin) of the model.
        target
            Assembly of single trials, or a recording, of one region.

        Returns
        -------
        Score
            Mean over time bins that have a score. Its attributes are `curve`, `curve_low` and
            `curve_high` (time_bin), their `formula`, `n_neuroids` per time bin, `ceiling`, `raw`
            and `error`. `raw` and `ceiling` average over the same time bins: the uncorrected
            correlations and the split-half reliability, pooled over neuroids (their mean) for
            pooled scores, otherwise the median over the neuroids that are scored. `raw` has an
            attribute `raw` (split neuroid time_bin), `ceiling` an attribute `raw` (time_bin).
            `error` is the standard error of `raw` over splits.

        Raises
        ------
        NeurofitError
            If the target has several regions.
        """
        recording = target if isinstance(target, Recording) else from_assembly(target)
        if len(recording.regions) > 1:
            raise NeurofitError(
                f"The target must have one region; got {', '.join(recording.regions)}. "
                "Select one: target.sel(region=...)."
            )
        region = recording.regions[0]
        config = self.config(region)
        activations = from_features(
            source, model="candidate", region=region, stimulus_ids=recording.stimuli.ids
        )
        return as_score(score(activations, recording, config))


def as_score(result: xr.Dataset) -> Score:
    """Return a result of `neurofit.score` as the Score of `NoiseCorrectedTemporal`."""
    bins = {
        "time_bin_start": ("time_bin", result.time_bin_start.values),
        "time_bin_end": ("time_bin", result.time_bin_end.values),
    }
    curves = {
        name: Score(result[name].values[0], coords=bins, dims=("time_bin",))
        for name in ("curve", "curve_low", "curve_high")
    }
    counts = ~np.isnan(result.curve.values[0])
    left_out = result.reason.values[0] != REASONS.index("scored")  # (neuroid time_bin)
    average: Callable[..., np.ndarray]
    if "pooled_r_xy" in result:
        r, average, ceiling = _pooled_r(result), nanmean, result.ceiling.values
    else:
        r, average = result.r_xy.values[0], nanmedian
        reliability = nanmean(result.r_yy_sb.values, axis=(0, 1))
        ceiling = nanmedian(np.where(left_out, np.nan, reliability), axis=0)
    r = np.where(left_out, np.nan, r)
    by_split = np.full(len(r), np.nan)
    if counts.any():
        by_split = nanmean(average(r, axis=1)[:, counts], axis=1)
    raw = Score(np.mean(by_split))
    neuroids = {
        "neuroid_id": ("neuroid", result.neuroid_id.values),
        "region": ("neuroid", np.full(r.shape[1], result.attrs["region"])),
    }
    raw.attrs["raw"] = Score(r, coords={**bins, **neuroids}, dims=("split", "neuroid", "time_bin"))
    made = Score(np.nanmean(result.curve.values[0]) if counts.any() else np.nan)
    made.attrs |= {
        **curves,
        "raw": raw,
        "error": float(np.std(by_split, ddof=1) / np.sqrt(len(by_split)))
        if len(by_split) > 1
        else np.nan,
        "ceiling": Score(np.nanmean(ceiling[counts]) if counts.any() else np.nan),
        "formula": result.curve.attrs["formula"],
        "n_neuroids": result.n_neuroids.values[0].tolist(),
    }
    made.attrs["ceiling"].attrs["raw"] = Score(ceiling, coords=bins, dims=("time_bin",))
    return made


def _pooled_r(result: xr.Dataset) -> np.ndarray:
    """Return the r_xy that are pooled, NaN for others: array (split neuroid time_bin)."""
    r_xy = result.r_xy.values[0]
    r, _ = without_constants(r_xy, r_xy)
    pooled = np.isfinite(nanmean(result.r_yy.values, axis=1))
    pooled &= (result.stratum_of_neuroid.values >= 0)[..., None]
    return np.where(pooled, r, np.nan)
