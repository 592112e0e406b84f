"""Is the code the same at another time? Maps that are fitted in one time bin, tested in all.

    s(t, t') = r_xy(t, t') / sqrt(r_xx(t) r_yy(t')),    pooled over neuroids
    D(t, t') = (s(t, t') + s(t', t)) / 2 - (s(t, t) + s(t', t')) / 2

The map of bin t predicts, from the features of its own time, the part of the responses in bin t
that the model explains; s(t, t') says how far this part is also that of bin t'. D is 0 if the code
is the same in both bins, even if the maps of one bin are better than those of the other: the four
terms then are q, q', q and q' (the quality of each map). If the code turns, D is negative.
The scheme of King & Dehaene (2014), for encoding, with the noise of both sides taken out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurofit.analyses.analysis import (
    ENDS,
    banded_variables,
    register_analysis,
    score_variable,
    variable,
)
from neurofit.analyses.comparison.words import describe_p
from neurofit.analyses.encoding.cost import estimate_cost
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.training import training_reliability
from neurofit.analyses.generalisation.config import GeneralisationConfig
from neurofit.analyses.generalisation.crossing import Crossing
from neurofit.analyses.windows import find_windows, in_window
from neurofit.config.compute import Compute, Progress
from neurofit.metrics.contrasts import Contrasts, compare_contrasts
from neurofit.metrics.pooled import deal_strata
from neurofit.metrics.sketch import squared_norm
from neurofit.metrics.two_way import (
    Influences,
    describe_band,
    describe_interval,
    interval_of,
    percent,
    sum_of_squares,
)
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording

DIMS = ("layer", "time_bin_fit", "time_bin")


@register_analysis(GeneralisationConfig, cost=estimate_cost)
def generalisation(
    activations: Activations,
    recording: Recording,
    config: GeneralisationConfig = GeneralisationConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Generalisation over time: a map fitted in one time bin, tested on the responses of all.

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order.
    recording
        Repeated trials of one area; a neuroid without all test stimuli of a session in a bin has no
        part in that bin.
    config
        Mapping, splits, halves and windows.
    compute, progress
        As of `neurofit.score`.

    Returns
    -------
    Dataset
        `generalisation`, s (layer time_bin_fit time_bin), with interval and simultaneous band;
        `difference`, D, with its own and with p values adjusted over all pairs of bins;
        `window_difference`, its mean between windows; `curve`, the diagonal: the pooled score.

    Raises
    ------
    NeurofitError
        As `neurofit.score`, and if a window holds no time bin.

    References
    ----------
    King & Dehaene (2014), Trends Cogn Sci 18:203.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> activations = neurofit.extract(neurofit.create_model("rgc_tiny"), recording.stimuli)
    >>> config = neurofit.GeneralisationConfig(layers=("conv3",), n_splits=2, n_halves=2)
    >>> neurofit.generalisation(activations, recording, config)["generalisation"].dims
    ('layer', 'time_bin_fit', 'time_bin')
    """
    config.check_recording(recording)
    bins = np.array(recording.time_bins)
    windows = find_windows(bins, config.windows)
    fitting = Fitting(activations, recording, config, compute, smoothers=True)
    strata = deal_strata(training_reliability(fitting))
    crossing = Crossing.empty(fitting, strata)
    fitting.run(crossing, progress=progress)
    rows = [_Matrix(crossing, row, config) for row in range(fitting.n_rows)]
    layers = fitting.layers
    if fitting.layer_per_split:
        chosen = {layers[layer] for layer in fitting.best_layers(0)}
        layers = tuple(chosen) if len(chosen) == 1 else ("auto",)
    made = {
        **_scores(rows, config),
        **_differences(rows, config),
        **_details(crossing),
    }
    coords: dict[str, Any] = {
        "layer": list(layers),
        **time_coords(*bins.T, dim="time_bin_fit"),
        **time_coords(*bins.T),
    }
    pairs = [(a, b) for a in range(len(windows)) for b in range(a + 1, len(windows))]
    if pairs:
        inside = [in_window(bins, window) for window in windows]
        made |= _between(rows, [(inside[a], inside[b]) for a, b in pairs], config)
        names = [f"{start}-{end} ms" for start, end in windows]
        coords["windows"] = [f"{names[a]} and {names[b]}" for a, b in pairs]
    result = xr.Dataset(
        made,
        coords=coords,
        attrs={
            "method": f"{fitting.mappings[0].name}, map of each time bin tested in all",
            "notes": json.dumps([*fitting.splits.notes, *fitting.left_out.notes()]),
        },
    )
    if pairs:
        result.attrs["conclusion"] = json.dumps(list(_conclude(result, config)))
    return result


class _Matrix:
    """Scores of one layer's maps in all bins, flattened, with their influences.

    Attributes
    ----------
    score
        s, NaN where the map is not consistent or the recording not reliable.
    """

    def __init__(self, crossing: Crossing, row: int, config: GeneralisationConfig) -> None:
        n_bins = crossing.score.shape[1]
        least = -np.inf if config.min_z is None else config.min_z
        map_clear, response_clear = (
            np.nan_to_num(z, nan=-np.inf) >= least for z in (crossing.z[row], crossing.responses.z)
        )
        self.score = np.where(
            map_clear[:, None] & response_clear, crossing.score[row], np.nan
        ).ravel()
        self.n_bins, self._config = n_bins, config
        self._neuroids, self._stimuli, self._cells = (
            values[row].reshape(-1, n_bins**2)
            for values in (crossing.neuroids, crossing.stimuli, crossing.cells)
        )
        self._twice = np.repeat(crossing.twice[row], n_bins)

    def influences(self, weights: np.ndarray | None = None) -> Influences:
        """Return the influences on the scores, or on combinations of them (score contrast)."""
        neuroids, stimuli, cells = (
            values if weights is None else values @ weights
            for values in (self._neuroids, self._stimuli, self._cells)
        )
        n, shown, twice = (
            int((neuroids != 0).any(axis=1).sum()),
            np.isfinite(self.score),
            self._twice,
        )
        if weights is not None and shown.any():  # about as large a share as in the scores
            twice = np.full(weights.shape[1], twice[shown].mean())
        elif weights is not None:
            twice = np.zeros(weights.shape[1])
        return Influences(
            neuroids,
            stimuli,
            n / max(n - 1, 1) * squared_norm(cells),
            twice * sum_of_squares(stimuli),
        )

    def combine(self, weights: np.ndarray) -> tuple[np.ndarray, Contrasts]:
        """Return combinations of scores and their tests, as one family."""
        used = weights != 0
        undefined = (np.isnan(self.score)[:, None] & used).any(axis=0) | ~used.any(axis=0)
        values = np.where(undefined, np.nan, np.nan_to_num(self.score) @ weights)
        tests = compare_contrasts(
            values,
            self.influences(weights),
            np.zeros(len(values), dtype=np.int64),
            over=self._config.interval_over,
            level=self._config.interval,
            seed=self._config.seed,
        )
        return values, tests

    def differences(self, fits: np.ndarray, tests: np.ndarray) -> np.ndarray:
        """Return weights of D for pairs of bins (score pair)."""
        weights, n = np.zeros((self.n_bins, self.n_bins, len(fits))), np.arange(len(fits))
        for a, b, sign in (
            (fits, tests, 1),
            (tests, fits, 1),
            (fits, fits, -1),
            (tests, tests, -1),
        ):
            weights[a, b, n] += sign / 2
        return weights.reshape(-1, len(fits))


def _scores(rows: list[_Matrix], config: GeneralisationConfig) -> dict[str, Any]:
    """Return the matrix with its interval and band, and its diagonal."""
    shape = (len(rows), rows[0].n_bins, rows[0].n_bins)
    made: dict[str, Any] = {}
    for name, dims in (("generalisation", DIMS), ("curve", ("layer", "time_bin"))):
        intervals = []
        for row in rows:
            part = np.arange(row.n_bins**2)
            if name == "curve":
                part = part[:: row.n_bins + 1]
            every = row.influences()
            own = Influences(
                every.neuroids[:, part],
                every.stimuli[:, part],
                every.cells[part],
                every.pairs[part],
            )
            score = row.score[part]
            found = interval_of(
                score, own, over=config.interval_over, level=config.interval, seed=config.seed
            )
            intervals.append((score, found))
        shaped = shape if name == "generalisation" else shape[:2]
        made |= banded_variables(
            name,
            dims,
            np.stack([score for score, _ in intervals]).reshape(shaped),
            {
                end: np.stack([getattr(found, end) for _, found in intervals]).reshape(shaped)
                for end in ENDS
            },
            interval=describe_interval(config.interval, config.interval_over, config.groups),
            band=describe_band(config.interval)
            if name == "curve"
            else f"{percent(config.interval)} band, for all pairs of time bins at once",
            long_name="noise-corrected r"
            if name == "curve"
            else "noise-corrected r in another time bin",
            formula="sum_j X_j(t, t') / sum_j sqrt(P_j(t) Y_j(t'))",
            column="r",
            **({"count": "n_neuroids"} if name == "generalisation" else {}),
        )
    return made


def _differences(rows: list[_Matrix], config: GeneralisationConfig) -> dict[str, Any]:
    """Return D for all pairs of bins, in both orders, with its tests."""
    n_bins = rows[0].n_bins
    fits, tests = np.triu_indices(n_bins, 1)
    found = [row.combine(row.differences(fits, tests)) for row in rows]

    def square(values: list[np.ndarray]) -> np.ndarray:
        matrix = np.full((len(rows), n_bins, n_bins), np.nan)
        matrix[:, fits, tests] = matrix[:, tests, fits] = np.stack(values)
        return matrix

    return {
        **banded_variables(
            "difference",
            DIMS,
            square([values for values, _ in found]),
            {end: square([getattr(made, end) for _, made in found]) for end in ENDS},
            interval=describe_interval(
                config.interval, config.interval_over, config.groups, each="pair of time bins"
            ),
            band=f"{percent(config.interval)} band, for all pairs of time bins at once",
            long_name="generalisation minus that within time bins",
            formula="(s(t, t') + s(t', t)) / 2 - (s(t, t) + s(t', t')) / 2",
            best=0.0,
        ),
        **{
            name: variable(DIMS, square([getattr(made, name) for _, made in found]), "p_value", of)
            for name, of in (
                ("p", "p value of each pair of time bins on its own"),
                ("p_adjusted", "p value adjusted over all pairs of time bins"),
                ("p_false_discovery", "p value adjusted for the false discovery rate"),
            )
        },
    }


def _between(
    rows: list[_Matrix], pairs: list[tuple[np.ndarray, np.ndarray]], config: GeneralisationConfig
) -> dict[str, Any]:
    """Return the mean of D between windows with its tests, and the ratio of both sides."""
    found, ratios = [], np.full((len(rows), len(pairs)), np.nan)
    for position, row in enumerate(rows):
        clear = np.isfinite(np.diag(row.score.reshape(row.n_bins, row.n_bins)))
        weights = np.zeros((row.n_bins**2, len(pairs)))
        for each, (one, other) in enumerate(pairs):
            fits, tests = np.nonzero(np.outer(one & clear, other & clear))
            apart = fits != tests
            if apart.any():
                weights[:, each] = row.differences(fits[apart], tests[apart]).mean(axis=1)
        found.append(row.combine(weights))
        across, within = (
            np.nan_to_num(row.score) @ np.maximum(sign * weights, 0) for sign in (1, -1)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios[position] = np.where(np.isfinite(found[-1][0]), across / within, np.nan)
    dims = ("layer", "windows")
    return {
        **banded_variables(
            "window_difference",
            dims,
            np.stack([values for values, _ in found]),
            {end: np.stack([getattr(made, end) for _, made in found]) for end in ENDS},
            interval=describe_interval(
                config.interval, config.interval_over, config.groups, each="pair of windows"
            ),
            band=f"{percent(config.interval)} band, for all pairs of windows at once",
            long_name="generalisation between windows minus that within time bins",
            formula="mean of D(t, t') over t in one window and t' in the other",
            best=0.0,
            column="difference",
        ),
        "window_ratio": score_variable(
            dims,
            ratios,
            long_name="generalisation between windows, share of that within time bins",
            formula="mean of s(t, t') between windows / mean of s(t, t) within their time bins",
            column="ratio",
        ),
        "window_p": variable(
            dims,
            np.stack([made.p for _, made in found]),
            "p_value",
            "p value of each pair of windows on its own",
            column="p",
        ),
    }


def _details(crossing: Crossing) -> dict[str, Any]:
    return {
        "n_neuroids": variable(
            DIMS, crossing.n_neuroids, "count", "number of neuroids that are pooled"
        ),
        "z_maps": variable(
            ("layer", "time_bin_fit"),
            crossing.z,
            "detail",
            "pooled consistency of maps in standard errors over stimuli",
        ),
        "z_recording": variable(
            ("time_bin",),
            crossing.responses.z,
            "detail",
            "pooled reliability in standard errors over stimuli",
        ),
    }


def _conclude(result: xr.Dataset, config: GeneralisationConfig) -> Iterator[str]:
    """Yield what each pair of windows shows, in sentences that a paper can use."""
    for layer in result.layer.values:
        for windows in result.windows.values:
            at = {"layer": layer, "windows": windows}
            where = f"Between {windows}"
            d, low, high, p, ratio = (
                float(result[name].sel(at))
                for name in (
                    *("window_difference", "window_difference_low", "window_difference_high"),
                    *("window_p", "window_ratio"),
                )
            )
            if np.isnan(d):
                yield f"{where}, nothing can be said: {layer} has no score in one of them."
                continue
            found = (
                f"(D = {d:.3f}, {percent(config.interval)} interval {low:.3f} to {high:.3f}, "
                f"{describe_p(p)})"
            )
            if p < 1 - config.interval and d < 0:
                yield (
                    f"{where}, the part of the code that {layer} explains changes {found}: maps "
                    f"have {ratio:.2f} of the r that they have within their time bins."
                )
            else:
                yield f"{where}, no change of the part that {layer} explains was found {found}."
