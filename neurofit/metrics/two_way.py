"""Standard errors, intervals and bands from the influences of neuroids and stimuli on a score.

A score of N neuroids and S stimuli is, to first order, its expectation plus a sum of influences
G_sn of cells (stimulus, neuroid). From their sums g_n and G_s,

    V_N = N / (N - 1) sum_n g_n^2                      other neuroids of the area
    V_S = S / (S - 1) sum_s G_s^2                      other stimuli
    V_C = N / (N - 1) sum_sn (G_sn - mean_n G_sn)^2    cells: in V_N and in V_S
    V_X                                                pairs of stimuli: twice in V_S

V_X comes from pairs of a training and a test stimulus. The variance is

    over neuroids   V_N
    over stimuli    max(V_S - V_X, V_S / 4)
    over both       V_N + (1 - tr V_X / tr V_S) max(0, V_S - V_C)

with degrees of freedom by Satterthwaite (1946), from the observed fourth moments. Simultaneous
bands over time bins come from random signs of the influences, studentised in each draw. V_X is
summed over the bins that have a score. The band of the same rows in another order differs by the
Monte Carlo error of 4,000 draws, about 1 %.
References: Cameron, Gelbach & Miller (2011), J Bus Econ Stat 29:238, for two-way clustering;
Owen (2007), Ann Appl Stat 1:386; Mammen (1993), Ann Stat 21:255, for the wild bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from neurofit.metrics.sketch import squared_norm

RESAMPLED = {"neuroids": "neuroids", "stimuli": "stimuli", "both": "neuroids and stimuli"}
"""What an interval is over -> its description in results."""

N_DRAWS = 4000
"""Number of random signs of the influences that a simultaneous band is drawn from."""


BLOCK = 500
"""Number of draws that are made at a time, to save memory."""


@dataclass(frozen=True)
class Influences:
    """Influences on a score per time bin.

    Parameters
    ----------
    neuroids
        Sums over stimuli, g_n.
    stimuli
        Sums over neuroids, G_s.
    cells
        V_C.
    pairs
        V_X; 0 where it is not known, which makes intervals over stimuli wider.
    """

    neuroids: Float[np.ndarray, "neuroid time_bin"]
    stimuli: Float[np.ndarray, "stimulus time_bin"]
    cells: Float[np.ndarray, " time_bin"]
    pairs: Float[np.ndarray, " time_bin"]

    @classmethod
    def of_sketches(
        cls,
        neuroids: Float[np.ndarray, "neuroid time_bin"],
        stimuli: Float[np.ndarray, "stimulus time_bin"],
        cells: Float[np.ndarray, "bucket time_bin"],
        pairs: Float[np.ndarray, "bucket time_bin"],
    ) -> Influences:
        """Return influences whose cells and pairs are sketched (`neurofit.metrics.sketch`)."""
        n = int((neuroids != 0).any(axis=1).sum())
        return cls(neuroids, stimuli, n / max(n - 1, 1) * squared_norm(cells), squared_norm(pairs))

    def rows(self, over: str) -> list[np.ndarray]:
        """Return the influences of what is sampled: of neuroids, of stimuli, or of both."""
        rows = {"neuroids": [self.neuroids], "stimuli": [self.stimuli]}
        return rows.get(over, [self.neuroids, self.stimuli])

    def sampled(self, bins: Bool[np.ndarray, " time_bin"]) -> Influences:
        """Return the influences in some time bins, of the rows that were sampled.

        Neuroids and stimuli without any influence, such as neuroids of another animal, are no part
        of the sample.
        """
        neuroids, stimuli = (
            rows[(rows != 0).any(axis=1)]
            for rows in (self.neuroids[:, bins], self.stimuli[:, bins])
        )
        return Influences(neuroids, stimuli, self.cells[bins], self.pairs[bins])


@dataclass(frozen=True)
class Interval:
    """Interval of a score per time bin.

    Parameters
    ----------
    se, df
        Standard error and degrees of freedom.
    low, high
        Bounds for each time bin on its own.
    band_low, band_high
        Bounds that hold for all time bins at once.
    """

    se: Float[np.ndarray, " time_bin"]
    df: Float[np.ndarray, " time_bin"]
    low: Float[np.ndarray, " time_bin"]
    high: Float[np.ndarray, " time_bin"]
    band_low: Float[np.ndarray, " time_bin"]
    band_high: Float[np.ndarray, " time_bin"]


def interval_of(
    score: Float[np.ndarray, " time_bin"],
    influences: Influences,
    *,
    over: str,
    level: float,
    seed: int,
) -> Interval:
    """Return the interval and the band of a score.

    Parameters
    ----------
    score
        Scores; NaN in time bins without one, which the band leaves out.
    influences
        Influences on the score; a bin with undefined ones has no interval.
    over
        "neuroids", "stimuli" or "both". With a single neuroid, "both" is "stimuli", and there is no
        interval over neuroids.
    level
        Coverage, such as 0.95.
    seed
        Random seed for the signs of the band.
    """
    shown = np.isfinite(score) & np.isfinite(influences.stimuli).all(axis=0)
    own = influences.sampled(shown)
    alone = len(own.neuroids) < 2
    over = "stimuli" if over == "both" and alone else over
    se, df, wide = (np.full(len(score), np.nan) for _ in range(3))
    if shown.any() and not (over == "neuroids" and alone):
        se[shown], df[shown] = standard_error(own, over=over)
        se = np.where(se > 0, se, np.nan)
        drawn = signed_t(own.rows(over), seed=seed)
        wide = se * np.quantile(np.abs(drawn).max(axis=1), level)
    margin = se * stats.t.ppf((1 + level) / 2, df)
    wide = np.maximum(margin, wide)  # a band holds each of its bins too
    return Interval(se, df, score - margin, score + margin, score - wide, score + wide)


def percent(level: float) -> str:
    """Write a coverage with all of its digits: "95%", "99.9%"."""
    return f"{100 * level:.10g}%"


def describe_interval(
    level: float, over: str, groups: str | None = None, *, each: str = "time bin"
) -> str:
    """Describe an interval: "95% interval over neuroids, for each time bin on its own"."""
    sampled = describe_samples(over, groups)
    return f"{percent(level)} interval over {sampled}, for each {each} on its own"


def describe_samples(over: str, groups: str | None = None) -> str:
    """Describe what is sampled: "neuroids", or "stimuli in groups by object_name"."""
    grouped = groups is not None and over != "neuroids"
    return RESAMPLED[over] + f" in groups by {groups}" * grouped


def describe_band(level: float) -> str:
    """Describe a band: "95% band, for all time bins at once"."""
    return f"{percent(level)} band, for all time bins at once"


def standard_error(influences: Influences, *, over: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard error and its degrees of freedom per time bin."""
    if over == "stimuli":
        v_stimuli = sum_of_squares(influences.stimuli)
        variance = np.maximum(v_stimuli - influences.pairs, v_stimuli / 4)
        return np.sqrt(variance), effective_df(influences.stimuli)
    neuroids = influences.neuroids - influences.neuroids.mean(axis=0)
    v_neuroids, v_stimuli = sum_of_squares(neuroids), sum_of_squares(influences.stimuli)
    if over == "neuroids":
        return np.sqrt(v_neuroids), effective_df(neuroids)
    total = float(np.nansum(v_stimuli))
    once = max(0.0, 1 - float(np.nansum(influences.pairs)) / total) if total > 0 else 1.0
    variance = v_neuroids + once * np.maximum(v_stimuli - influences.cells, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = v_neuroids**2 / effective_df(neuroids)
        spread += (once * v_stimuli) ** 2 / effective_df(influences.stimuli)
        return np.sqrt(variance), variance**2 / spread


def sum_of_squares(influences: Float[np.ndarray, "#rows *any"]) -> Float[np.ndarray, "*any"]:
    """Return the variance of a sum from the influences of its rows: n / (n - 1) sum h^2."""
    n = len(influences)
    return np.asarray(n / max(n - 1, 1) * (influences**2).sum(axis=0))


def effective_df(influences: Float[np.ndarray, "row time_bin"]) -> Float[np.ndarray, " time_bin"]:
    """Return the degrees of freedom of sum h^2, 2 V^2 / var V, at most the number of rows - 1."""
    n = len(influences)
    second = (influences**2).sum(axis=0)
    variance = ((influences**4).sum(axis=0) - second**2 / max(n, 1)) * n / max(n - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.minimum(2 * second**2 / np.maximum(variance, 1e-300), max(n - 1, 1)))


def signed_t(
    parts: list[Float[np.ndarray, "_ time_bin"]], *, seed: int, n_draws: int = N_DRAWS
) -> Float[np.ndarray, "draw time_bin"]:
    """Return t statistics of sums of influences with random signs, studentised in each draw."""
    rng = np.random.default_rng(seed)
    n_bins = parts[0].shape[1]
    total, variance = np.zeros((n_draws, n_bins)), np.zeros((n_draws, n_bins))
    for part in parts:
        centred = part - part.mean(axis=0)
        scale = np.maximum(np.abs(centred).max(axis=0, initial=0), np.finfo(float).tiny)
        scaled, n = (centred / scale).astype(np.float32), len(centred)
        squares = (centred**2).sum(axis=0)
        for start in range(0, n_draws, BLOCK):
            block = slice(start, min(start + BLOCK, n_draws))
            bits = np.frombuffer(rng.bytes((block.stop - start) * (n // 8 + 1)), np.uint8)
            bits = np.unpackbits(bits.reshape(block.stop - start, -1), axis=1, count=n)
            drawn = ((bits * np.float32(2) - 1) @ scaled) * scale
            total[block] += drawn
            variance[block] += n / max(n - 1, 1) * (squares - drawn**2 / n)
    return np.asarray(total / np.sqrt(np.maximum(variance, np.finfo(float).tiny)))
