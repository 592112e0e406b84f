"""Sentences that a reader of a score should know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import xarray as xr

from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.learning import learning_notes
from neurofit.analyses.predictivity.reasons import REASONS
from neurofit.errors import counted, some_of
from neurofit.metrics.predictivity import signed_square


def score_notes(result: xr.Dataset, fitting: Fitting, config: ScoreConfig) -> list[str]:
    """Return sentences on missing trials, chosen layers, reliability, estimators and intervals."""
    notes = [*fitting.splits.notes, *fitting.left_out.notes()]
    axes = [dim for dim in ("mapping", "layer") if dim in result.reason.dims]
    if "layer_choice" in result:
        notes.append(_chosen_layers(result.layer_choice))
    if "psth_r" in result:
        median = result.psth_r.median("neuroid")
        shown = [f"{value:.2f}" for value in np.ravel(median.values) if np.isfinite(value)]
        if shown:
            notes.append(
                "Predicted and recorded mean time courses correlate at r = "
                f"{', '.join(shown)} (median over neuroids)."
            )
    notes += fitting.findings.notes(config.mapping_names, fitting.layers)
    unreliable = (result.reason == REASONS.index("recording_not_reliable")).any("neuroid")
    none = (result.n_neuroids == 0) & unreliable
    if (none.all(axes).values & (result.ceiling.values > 0.5)).any():
        n_test = int((~fitting.train).sum(axis=1).min())
        notes.append(
            f"The recording is not reliable: with {n_test} test stimuli, a ceiling above 0.5 can "
            "arise by chance. Use more stimuli."
        )
    if config.jackknife:
        notes.append(
            f"The influences of stimuli come from {config.jackknife} refits, each of which leaves "
            "out one group of stimuli in training and test (delete-a-group jackknife)."
        )
    elif config.formula == "pooled_r" and config.interval_over != "neuroids":
        without = [mapping.name for mapping in fitting.mappings if not fitting.smooths(mapping)]
        if without:
            notes.append(
                f"The intervals of {', '.join(without)} are too narrow over stimuli: they ignore "
                "how maps vary with the stimuli that train them, which --jackknife 20 takes into "
                "account."
            )
    return notes + learning_notes(result, config) + _differing(result, config)


def _chosen_layers(choice: xr.DataArray) -> str:
    """Return on how many splits each layer was chosen, (split) or (mapping split)."""
    parts, over = [], str(choice.dims[-1])
    for names in choice.values.reshape(-1, choice.shape[-1]):
        (first, n), *others = Counter(names.tolist()).most_common()
        share = f"all {n}" if not others else f"{n} of {len(names)}"
        parts.append(
            ", ".join([f"{first} in {share} {over}s", *(f"{each} in {m}" for each, m in others)])
        )
    if "mapping" in choice.dims:
        of = map(str, choice.mapping.values)
        parts = [f"{name}: {part}" for name, part in zip(of, parts, strict=True)]
    return f"Layer that held-out training stimuli choose: {'; '.join(parts)}."


def _differing(result: xr.Dataset, config: ScoreConfig) -> list[str]:
    """Return a warning where the pooled score lies outside the interval of another formula."""
    if "curve_pooled_r" not in result or config.formula not in COMPARABLE:
        return []
    pooled = COMPARABLE[config.formula](result.curve_pooled_r.values)
    low, high = result.curve_low.values, result.curve_high.values
    outside = np.isfinite(result.curve.values) & ((pooled < low) | (pooled > high))
    bins = outside.reshape(-1, outside.shape[-1]).any(axis=0)
    if not bins.any():
        return []
    starts, ends = result.time_bin_start.values[bins], result.time_bin_end.values[bins]
    named = [f"{start}-{end} ms" for start, end in zip(starts, ends, strict=True)]
    return [
        f"In {counted(len(named), 'time bin')} ({some_of(named, most=3)}) the pooled score, which "
        "is unbiased at low reliability, lies outside this interval; see curve_pooled_r."
    ]


COMPARABLE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "noise_corrected_r": lambda r: r,
    "noise_corrected_r2": signed_square,
    "percent_explained_variance": lambda r: 100 * signed_square(r),
}
"""Formulas -> the value that they estimate, as a function of the pooled score."""
