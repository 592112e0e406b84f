"""Maps from one population to another, fitted to trial halves and corrected on both sides.

For each halving of the trials, with x1, x2 and y1, y2 the half means of source and target,

    f fitted to (x1, y2),  g fitted to (x2, y1),  both on training stimuli
    r_xy = (r(f(x1), y2) + r(g(x2), y1)) / 2,   r_xx = r(f(x1), g(x2)),   r_yy = r(y1, y2)

over test stimuli. The trials of f(x1) are none of those of y2, so that noise which source and
target share in a trial has no part in r_xy, and s = r_xy / sqrt(r_xx r_yy) needs no formula for
the length of halves: it is the correlation of the signal with the mean prediction of such maps.
Correlations are pooled over neuroids as those of a score are (`neurofit.metrics.pooled`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.analyses.encoding.influences import add_up, centred, pooled_z
from neurofit.analyses.encoding.splits import Splits
from neurofit.analyses.recorded.populations import Population
from neurofit.mapping.contract import GramMapping, SmoothingMapping
from neurofit.mapping.feature_mapping import needs_features
from neurofit.mapping.fits import Smoother
from neurofit.mapping.gram import Gram
from neurofit.metrics.correlation import pearson, pearson_influence, pearson_slope
from neurofit.metrics.pooled import Pooled, deal_strata, pool
from neurofit.metrics.sketch import N_BUCKETS, sketch_cells


@dataclass(frozen=True)
class Target:
    """A population that is predicted, with its reliability in each split.

    Parameters
    ----------
    population
        Responses.
    splits
        Training stimuli and their groups.
    r_yy
        Correlation of trial halves over test stimuli, averaged over halvings; NaN for a neuroid
        that is not used in a bin.
    influences
        Influences of stimuli on r_yy.
    strata
        Stratum of each neuroid in each split by its reliability on training stimuli.
    """

    population: Population
    splits: Splits
    r_yy: Float[np.ndarray, "split neuroid time_bin"]
    influences: Float[np.ndarray, "split stimulus neuroid time_bin"] = field(repr=False)
    strata: Int[np.ndarray, "split neuroid"]

    @classmethod
    def of(cls, population: Population, splits: Splits) -> Target:
        """Correlate the halves of a population on test and on training stimuli."""
        halves, usable = population.halves, population.usable
        n_halves, _, n_bins, n_stimuli, n_neuroids = halves.shape
        n_splits = len(splits.train)
        r_yy = np.zeros((n_splits, n_neuroids, n_bins))
        influences = np.zeros((n_splits, n_stimuli, n_neuroids, n_bins), dtype=np.float32)
        z = np.zeros((n_splits, n_neuroids))
        weight = np.full((n_halves, n_neuroids), 1 / n_halves)
        for b in range(n_bins):
            for split, train in enumerate(splits.train):
                first, second = halves[:, 0, b][:, ~train], halves[:, 1, b][:, ~train]
                r_yy[split, :, b] = np.nan_to_num(pearson(first, second)).mean(axis=0)
                influences[split, ~train, :, b] = pearson_influence(first, second, weight)
                trained = pearson(halves[:, 0, b][:, train], halves[:, 1, b][:, train])
                z[split] += usable[:, b] * np.nan_to_num(trained).mean(axis=0)
        r_yy[:, ~usable] = np.nan
        n_used = usable.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            z = np.where(n_used > 0, z / n_used, np.nan)
        return cls(population, splits, r_yy, influences, deal_strata(z))

    @property
    def z(self) -> Float[np.ndarray, " time_bin"]:
        """Pooled reliability in standard errors over stimuli; infinite without trial noise."""
        valid = np.isfinite(self.r_yy) & (self.strata >= 0)[..., None]
        found = pooled_z(self.r_yy, self.influences, valid, self.splits.places)
        sure = (np.where(valid, self.r_yy, 1.0) > 1 - 1e-6).all(axis=(0, 1)) & valid.any((0, 1))
        return np.where(sure, np.inf, found)


@dataclass(frozen=True)
class Maps:
    """Correlations of the maps from one source to a target in some time bins.

    Parameters
    ----------
    bins
        Positions of the target's time bins.
    r_xy, r_xx
        Correlations over test stimuli, averaged over halvings.
    by_xy, by_xx
        Influences of stimuli on them, as test or as training stimuli.
    held_xy, held_xx
        The same correlations over training stimuli, each left out of the map that predicts it; NaN
        where the mapping does not state its smoothers.
    """

    bins: Int[np.ndarray, " time_bin"]
    r_xy: Float[np.ndarray, "split neuroid time_bin"]
    r_xx: Float[np.ndarray, "split neuroid time_bin"]
    by_xy: Float[np.ndarray, "split stimulus neuroid time_bin"]
    by_xx: Float[np.ndarray, "split stimulus neuroid time_bin"]
    held_xy: Float[np.ndarray, "split neuroid time_bin"]
    held_xx: Float[np.ndarray, "split neuroid time_bin"]

    @property
    def shares(self) -> Float[np.ndarray, "3 neuroid time_bin"]:
        """Noise shares with which the reliability of halves is their correlation itself."""
        return np.ones((3, *self.r_xy.shape[1:]))

    def pool(self, target: Target, splits: Sequence[int] | None = None) -> Pooled:
        """Return the pooled scores of all splits, or of some."""
        at = slice(None) if splits is None else list(splits)
        r_yy = target.r_yy[..., self.bins]
        return pool(self.r_xy[at], self.r_xx[at], r_yy[at], self.shares, target.strata[at])

    def where(self, chosen: Bool[np.ndarray, " split"], other: Maps) -> Maps:
        """Return these maps in some splits, and other maps to the same bins in the rest."""
        names = ("r_xy", "r_xx", "by_xy", "by_xx", "held_xy", "held_xx")
        picked: dict[str, Any] = {}
        for name in names:
            own = getattr(self, name)
            mask = chosen.reshape(-1, *[1] * (own.ndim - 1))
            picked[name] = np.where(mask, own, getattr(other, name))
        return replace(self, **picked)

    def held_out(self, target: Target) -> Float[np.ndarray, "split time_bin"]:
        """Return the scores of each split on its training stimuli."""
        halves, made = target.population.halves, []
        for split, train in enumerate(target.splits.train):
            y = halves[:, :, self.bins][..., train, :]
            r_yy = np.nan_to_num(pearson(y[:, 0], y[:, 1])).mean(axis=0).T  # (neuroid time_bin)
            r_xy, r_xx = self.held_xy[[split]], self.held_xx[[split]]
            pooled = pool(r_xy, r_xx, r_yy[None], self.shares, target.strata[[split]])
            made.append(pooled.score)
        return np.stack(made)


def fit_maps(
    source: Population,
    source_bins: Sequence[int],
    target: Target,
    bins: Int[np.ndarray, " time_bin"],
    mapping: GramMapping,
) -> Maps:
    """Fit maps from a source in one bin, or in several side by side, to a target's bins.

    Parameters
    ----------
    source, source_bins
        Features.
    target, bins
        Responses, and the positions of their time bins.
    mapping
        Mapping; one that states its smoothers fits all bins at once, any other bin by bin.
    """
    population, train = target.population, target.splits.train
    n_halves, _, _, n_stimuli, n_neuroids = population.halves.shape
    usable = population.usable[:, bins].T  # (time_bin neuroid)
    at_bin, at_neuroid = np.nonzero(usable)
    n_columns, shape = len(at_bin), (len(train), n_neuroids, len(bins))
    r = np.zeros((4, len(train), n_columns))
    by = np.zeros((2, len(train), n_stimuli, n_columns), dtype=np.float32)
    halved = 1 / n_halves
    weight = np.full((2, n_columns), halved / 2)
    for half in range(n_halves):
        grams = source.grams(source_bins, half)
        y = [
            population.halves[half, side][bins].transpose(1, 0, 2)[:, usable].astype(np.float64)
            for side in range(2)
        ]
        fits = (
            _predict(mapping, gram, other, train, at_bin, target.splits)
            for gram, other in zip(grams, reversed(y), strict=True)
        )
        for split, ((p1, smoother1), (p2, smoother2)) in enumerate(zip(*fits, strict=True)):
            inside = train[split]
            y1, y2 = y[0][~inside], y[1][~inside]
            r[0, split] += halved / 2 * np.nan_to_num(pearson(p1, y2) + pearson(p2, y1))
            r[1, split] += halved * np.nan_to_num(pearson(p1, p2))
            by[0, split, ~inside] += pearson_influence(
                np.stack([p1, p2]), np.stack([y2, y1]), weight
            )
            by[1, split, ~inside] += pearson_influence(p1[None], p2[None], 2 * weight[:1])
            if smoother1 is None or smoother2 is None:
                continue
            held = []
            for p, other, own, smoother, trained in (
                (p1, p2, y2, smoother1, y[1][inside]),
                (p2, p1, y1, smoother2, y[0][inside]),
            ):
                slopes = np.stack(
                    [halved / 2 * pearson_slope(p, own), halved * pearson_slope(p, other)]
                ).astype(np.float32)
                moved = smoother.residuals * smoother.adjoint(slopes)
                by[:, split, inside] += moved - moved.mean(axis=1, keepdims=True)
                held.append((trained - smoother.residuals[0], trained))
            (h1, t2), (h2, t1) = held
            r[2, split] += halved / 2 * np.nan_to_num(pearson(h1, t2) + pearson(h2, t1))
            r[3, split] += halved * np.nan_to_num(pearson(h1, h2))
    if not isinstance(mapping, SmoothingMapping):
        r[2:] = np.nan
    found = np.full((len(r), *shape), np.nan)
    found[..., at_neuroid, at_bin] = r
    influences = np.zeros((len(by), len(train), n_stimuli, *shape[1:]), dtype=np.float32)
    influences[..., at_neuroid, at_bin] = by
    return Maps(bins, *found[:2], *influences, *found[2:])


def _predict(
    mapping: GramMapping,
    gram: Gram,
    y: Float[np.ndarray, "stimulus column"],
    train: Bool[np.ndarray, "split stimulus"],
    at_bin: Int[np.ndarray, " column"],
    splits: Splits,
) -> Iterator[tuple[np.ndarray, Smoother | None]]:
    """Yield the predictions (test column) of each split, and its smoother if there is one."""
    gram = gram.with_stimulus_groups(splits.groups)
    if isinstance(mapping, SmoothingMapping):
        for predicted, smoother in mapping.cross_smooth(gram, y[None], train):
            yield predicted[0], smoother
        return
    if needs_features(mapping):
        features = gram.features
        gram = replace(gram, factor=None, dense=None, blocks=(features,), mean=np.zeros(1))
    parts = [
        mapping.cross_predict(gram, y[None][..., at_bin == b], train) for b in np.unique(at_bin)
    ]
    for of_split in zip(*parts, strict=True):
        yield np.concatenate([predicted[0] for predicted in of_split], axis=1), None


@dataclass
class Scores:
    """Pooled scores of some maps to one target, with their influences, along one axis.

    Parameters
    ----------
    score
        Pooled noise-corrected r; NaN where a map is not consistent or the target not reliable.
    z_maps
        Pooled consistency of maps in standard errors over stimuli.
    neuroids, stimuli
        Influences on the scores.
    cells
        Sketches of the influences of cells (stimulus, neuroid).
    n_neuroids
        Number of neuroids that are pooled.
    """

    score: Float[np.ndarray, " map"]
    z_maps: Float[np.ndarray, " map"]
    neuroids: Float[np.ndarray, "neuroid map"]
    stimuli: Float[np.ndarray, "stimulus map"]
    cells: Float[np.ndarray, "bucket map"]
    n_neuroids: Int[np.ndarray, " map"]

    @classmethod
    def of(cls, maps: Maps, target: Target, *, min_z: float | None) -> Scores:
        """Pool the correlations of maps over neuroids and splits."""
        places, strata = target.splits.places, target.strata
        pooled = maps.pool(target)
        by_xy, by_xx, by_yy = pooled.slopes(strata)
        cells = sum(
            np.einsum("knb,ksnb->snb", slope.astype(np.float32), influences, optimize=True)
            for slope, influences in (
                (by_xy, maps.by_xy),
                (by_xx, maps.by_xx),
                (by_yy, target.influences[..., maps.bins]),
            )
        )
        cells = add_up(np.asarray(cells), places)
        z_maps = pooled_z(maps.r_xx, maps.by_xx, pooled.valid, places)
        least = -np.inf if min_z is None else min_z
        clear = np.fmin(np.nan_to_num(z_maps, nan=-np.inf), target.z[maps.bins]) >= least
        return cls(
            np.where(clear, pooled.score, np.nan),
            z_maps,
            np.nan_to_num(pooled.neuroids),
            cells.sum(axis=1, dtype=np.float64),
            sketch_cells(centred(cells, strata)),
            pooled.valid.any(axis=0).sum(axis=0),
        )

    @classmethod
    def blank(cls, target: Target, n_maps: int = 1) -> Scores:
        """Return scores that are not defined."""
        n_stimuli, n_neuroids = target.influences.shape[1:3]
        nothing = np.full(n_maps, np.nan)
        return cls(
            nothing,
            nothing,
            np.zeros((n_neuroids, n_maps)),
            np.zeros((n_stimuli, n_maps)),
            np.zeros((N_BUCKETS, n_maps)),
            np.zeros(n_maps, dtype=np.int64),
        )

    @classmethod
    def join(cls, parts: Sequence[Scores]) -> Scores:
        """Return the scores of several sources of one target, one after the other."""
        names = ("score", "z_maps", "neuroids", "stimuli", "cells", "n_neuroids")
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(each, name) for each in parts], axis=-1) for name in names
        }
        return cls(**joined)


def score_bins(
    source: Population, target: Target, mapping: GramMapping, *, min_z: float | None
) -> Scores:
    """Return the scores of maps from a source to a target in the same time bin, for each bin."""
    parts = []
    for b in range(target.population.usable.shape[1]):
        if not (source.covers(b) and target.population.covers(b)):
            parts.append(Scores.blank(target))
            continue
        maps = fit_maps(source, (b,), target, np.array([b]), mapping)
        parts.append(Scores.of(maps, target, min_z=min_z))
    return Scores.join(parts)
