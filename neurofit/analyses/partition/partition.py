"""Variance partitioning: what each of two sources of features explains beyond the other.

    unique to A = R2(A, B) - R2(B),    unique to B = R2(A, B) - R2(A),
    shared = R2(A) + R2(B) - R2(A, B),    total = R2(A, B)

R2 is the share of the signal variance of the responses that a map explains on test stimuli, with
the trial noise of responses and of maps taken out (`neurofit.analyses.partition.sums`):

    R2 = sum [2 cov(p, y) - cov(p1, p2)] / sum cov(y1, y2)    over splits and neuroids

Maps of one source are ridges, maps of both banded ridges (`neurofit.mapping.banded`). Variance
partitioning by nested regressions: Borcard, Legendre & Drapeau (1992), Ecology 73:1045; of encoding
models: Lescroart, Stansbury & Gallant (2015), Front Comput Neurosci 9:135. Without held-out data
and penalties any further feature explains more: R2 in the sample rises with B even if B is noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from neurofit.activations.baselines import BASELINES
from neurofit.analyses.analysis import (
    ENDS,
    banded_variables,
    register_analysis,
    variable,
)
from neurofit.analyses.comparison.words import describe_p
from neurofit.analyses.encoding.cost import estimate_cost
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.partition.config import OTHER_LAYERS, PartitionConfig
from neurofit.analyses.partition.explained import Explained, Pair
from neurofit.analyses.windows import find_windows, in_window
from neurofit.config.compute import Compute, Progress
from neurofit.mapping.banded import SOURCES
from neurofit.metrics.contrasts import Contrasts, compare_contrasts
from neurofit.metrics.two_way import describe_interval, percent
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording

PARTS = np.array([[0.0, -1.0, 1.0], [-1.0, 0.0, 1.0], [1.0, 1.0, -1.0]])
"""Weights of R2 of the first source, the second and both: unique parts and the shared one."""

TOTAL = np.array([[0.0, 0.0, 1.0]])
"""The same for what both explain."""

NEGLIGIBLE = 1e-3
"""A part is known to this at best; it is not tested if it and its standard error are smaller.

A source of no use is not left out of a map, but has the smallest share there is: what remains of it
is a matter of the grid of shares, and says nothing about the source.
"""

FORMULA = "R2 = sum [2 cov(p, y) - cov(p1, p2)] / sum cov(y1, y2)"


@register_analysis(PartitionConfig, models=2, cost=estimate_cost)
def partition(
    activations: Activations,
    against: Activations,
    recording: Recording,
    config: PartitionConfig = PartitionConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Variance partitioning: what a model explains that another, or its baseline, does not.

    Parameters
    ----------
    activations
        Activations of the first source for the recording's stimuli, in their order.
    against
        Those of the second source; the same object for other layers of one model.
    recording
        Repeated trials of one area; a neuroid that lacks trials of a stimulus in a time bin is
        fitted without it.
    config
        Layers, choice of weights, splits, halves and windows.
    compute
        Device, cores and cache; these do not change the numbers.
    progress
        Called with (what is being done, steps done, steps in total).

    Returns
    -------
    Dataset
        `explained` (layer part time_bin), the unique parts and the shared one, with interval,
        simultaneous band and p values; `total`, what both explain; their means in windows;
        `alone`, R2 of each source (layer source time_bin); `weight_of_first`, the share of the
        first source that was chosen.

    Raises
    ------
    NeurofitError
        As `neurofit.score`, if no time bin is predicted by both sources, and if a window holds no
        time bin.

    References
    ----------
    Borcard, Legendre & Drapeau (1992), Ecology 73:1045; Lescroart, Stansbury & Gallant (2015),
    Front Comput Neurosci 9:135; Dupré la Tour et al. (2022), NeuroImage 264:119728.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(100, 110))
    >>> models = [neurofit.create_model(name) for name in ("rgc_tiny", "timedecay_tiny")]
    >>> first, second = (neurofit.extract(model, recording.stimuli) for model in models)
    >>> config = neurofit.PartitionConfig(n_splits=2, n_halves=1)
    >>> neurofit.partition(first, second, recording, config)["part"].values.tolist()
    ['unique to rgc_tiny', 'unique to timedecay_tiny', 'shared']
    """
    bins = np.array(recording.time_bins)
    windows = find_windows(bins, config.windows)
    fitting = Fitting(activations, recording, config.first, compute)
    pair = Pair.of(fitting, against, config)
    found = Explained.fit(pair, config, progress)
    least = -np.inf if config.min_z is None else config.min_z
    clear = np.nan_to_num(found.z, nan=-np.inf) >= least  # (row time_bin)
    r2 = np.where(clear[:, None], found.r2, np.nan)
    names = _names(activations, against, config)
    each = np.eye(len(bins), dtype=bool)
    made = {
        **_tested(found, r2, PARTS, each, config, "explained", "time_bin"),
        **_tested(found, r2, TOTAL, each, config, "total", "time_bin"),
        "alone": variable(
            ("layer", "source", "time_bin"),
            r2,
            "detail",
            "explained variance (R²) of each source and of both",
        ),
        "weight_of_first": variable(
            ("layer", "neuroid", "time_bin"),
            found.shares,
            "detail",
            "share of the first source in the map of both, mean over splits",
        ),
        "log_penalty": variable(
            ("layer", "source", "neuroid", "time_bin"),
            found.alphas,
            "detail",
            "log10 of the penalty in units of the mean eigenvalue, mean over splits",
        ),
        "n_neuroids": variable(
            ("layer", "time_bin"), found.n_neuroids, "count", "number of neuroids that are pooled"
        ),
        "z_recording": variable(
            ("layer", "time_bin"),
            found.z,
            "detail",
            "signal variance of the recording in standard errors over stimuli",
        ),
    }
    coords: dict[str, Any] = {
        "layer": [" + ".join(row) for row, _ in pair.rows],
        "part": [*(f"unique to {name}" for name in names), "shared"],
        "source": ["first", "second", "both"],
        **time_coords(*bins.T),
    }
    assert coords["source"] == list(SOURCES)
    if windows:
        inside = np.array([in_window(bins, window) for window in windows])
        coords["window"] = [f"{start}-{end} ms" for start, end in windows]
        for name, weights in (("explained", PARTS), ("total", TOTAL)):
            made |= _tested(found, r2, weights, inside, config, name, "window")
    notes = [_describe(*names, pair), *fitting.splits.notes, *fitting.left_out.notes()]
    result = xr.Dataset(
        made,
        coords=coords,
        attrs={
            "method": f"banded ridge, R2 on {config.n_splits} "
            + ("folds" if config.splits == "folds" else "random splits"),
            "notes": json.dumps(notes),
        },
    )
    if windows:
        result.attrs["conclusion"] = json.dumps(list(_conclude(result, config)))
    return result


def _conclude(result: xr.Dataset, config: PartitionConfig) -> Iterator[str]:
    """Yield what each source explains beyond the other in each window, in sentences."""
    for layer in result.layer.values:
        for window in result.window.values:
            at = {"layer": layer, "window": window}
            both = float(result.window_total.sel(at))
            if np.isnan(both):
                yield f"In {window}, nothing can be said of {layer}: no time bin has a value."
                continue
            found = []
            for part in result.part.values:
                value, low, high, p = (
                    float(result[f"window_explained{end}"].sel({**at, "part": part}))
                    for end in ("", "_low", "_high", "_p")
                )
                interval = f"{percent(config.interval)} interval {low:z.3f} to {high:z.3f}"
                found.append(f"{value:z.3f} are {part} ({interval}, {describe_p(p)})")
            yield (
                f"In {window}, both sources explain {both:z.3f} of the signal variance ({layer}): "
                f"{'; '.join(found)}."
            )


def _names(first: Activations, second: Activations, config: PartitionConfig) -> tuple[str, str]:
    """Return what tells the two sources apart: models, or a baseline, or layers."""
    control = str(second.provenance.get("control", ""))
    if second is first or (first.model == second.model and not control):
        return "the layer", "other layers" if config.against == OTHER_LAYERS else "the other layers"
    other = control if first.model == second.model else f"{second.model} {control}".strip()
    return first.model, other


def _describe(first: str, second: str, pair: Pair) -> str:
    """Return in a sentence which layers of what are compared."""
    control = str(pair.second.provenance.get("control", ""))
    what = f" ({BASELINES[control]})" if control in BASELINES else ""
    layers = [f"{' + '.join(own)} with {' + '.join(others)}" for own, others in pair.rows]
    return f"Compared are {first} and {second}{what}: {'; '.join(layers)}."


def _tested(
    found: Explained,
    r2: Float[np.ndarray, "row source time_bin"],
    parts: Float[np.ndarray, "part source"],
    bins: Bool[np.ndarray, "contrast time_bin"],
    config: PartitionConfig,
    name: str,
    dim: str,
) -> dict[str, Any]:
    """Return parts of the explained variance in time bins or windows, with their tests.

    A window is the mean over its time bins that have a value.
    """
    n_rows, n_contrasts = len(r2), len(bins)
    values = np.full((n_rows, len(parts), n_contrasts), np.nan)
    tests: list[list[Contrasts]] = []
    for row in range(n_rows):
        shown = np.isfinite(r2[row]).all(axis=0)  # (time_bin)
        used = bins & shown
        count = used.sum(axis=1)
        means = (used / np.maximum(count, 1)[:, None]).T  # (time_bin contrast)
        tests.append([])
        for number, weights in enumerate(parts):
            combined = weights @ np.nan_to_num(r2[row]) @ means
            influences = found.combine(row, weights[:, None, None] * means)
            rows = np.concatenate([influences.neuroids, influences.stimuli])
            size = np.maximum(np.abs(combined), np.sqrt((rows**2).sum(axis=0)))
            none = (size < NEGLIGIBLE) & (count > 0)
            influences.neuroids[:, none] = influences.stimuli[:, none] = 0.0
            values[row, number] = np.where(count > 0, combined, np.nan)
            tested = compare_contrasts(
                np.where(none, 0 * values[row, number], values[row, number]),
                influences,
                np.zeros(n_contrasts, dtype=np.int64),
                over=config.interval_over,
                level=config.interval,
                seed=config.seed,
            )
            wide = {
                end: np.where(none, combined + sign * NEGLIGIBLE, getattr(tested, end))
                for end, sign in zip(ENDS, (-1, 1, -1, 1), strict=True)
            }
            tests[-1].append(replace(tested, **wide))

    def gather(attribute: str) -> np.ndarray:
        stacked = np.array([[getattr(test, attribute) for test in row] for row in tests])
        return stacked if name == "explained" else stacked[:, 0]

    own = name if dim == "time_bin" else f"{dim}_{name}"
    dims = ("layer", "part", dim) if name == "explained" else ("layer", dim)
    each = dim.replace("_", " ")
    total = name == "total"
    made = banded_variables(
        own,
        dims,
        values[:, 0] if total else values,
        {end: gather(end) for end in ENDS},
        interval=describe_interval(config.interval, config.interval_over, config.groups, each=each),
        band=f"{percent(config.interval)} band, for all {each}s at once",
        long_name="explained by both (R²)" if total else "explained variance (R²)",
        formula=FORMULA if total else f"differences of {FORMULA}",
        column="both" if total else "R²",
    )
    if not total:
        made |= {
            f"{own}_{key}": variable(dims, gather(key), "p_value", words, **column)
            for key, words, column in (
                ("p", f"p value of each {each} on its own, of a part of 0", {"column": "p"}),
                ("p_adjusted", f"p value adjusted over all {each}s", {}),
            )
        }
    if dim == "time_bin":  # the total is drawn above its parts
        more = {"scale": "score"} if total else {"bound": "total"}
        made[own] = (*made[own][:2], {**made[own][2], **more})
    return made
