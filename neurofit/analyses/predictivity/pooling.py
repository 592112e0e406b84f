"""Pooled scores of one mapping, bin by bin: values, and influences of neuroids and stimuli."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.analyses.encoding.influences import MapInfluences, add_up, pooled_z
from neurofit.analyses.predictivity.jackknife import Jackknife
from neurofit.metrics.pooled import deal_strata, pool
from neurofit.metrics.sketch import N_BUCKETS, sketch_cells, squared_norm
from neurofit.metrics.two_way import Influences, sum_of_squares


@dataclass(frozen=True)
class Part:
    """Neuroids that have a pooled score together: all, or those of one subject.

    Parameters
    ----------
    name
        "" for all, or the name of a subject.
    strata
        Stratum of each neuroid in each split; -1 for neuroids of other subjects.
    """

    name: str
    strata: Int[np.ndarray, "split neuroid"]


def deal_parts(z: Float[np.ndarray, "split neuroid"], subjects: np.ndarray | None) -> list[Part]:
    """Return all neuroids and, where there are several subjects, those of each.

    Parameters
    ----------
    z
        Half correlation of each neuroid on the training stimuli of each split.
    subjects
        Subject of each neuroid; None if the recording does not say.
    """
    parts = [Part("", deal_strata(z))]
    names = [] if subjects is None else sorted(set(map(str, subjects)))
    for name in names if len(names) > 1 else []:
        own = np.flatnonzero(np.asarray(subjects, dtype=str) == name)
        strata = np.full(z.shape, -1)
        strata[:, own] = deal_strata(z[:, own])
        parts.append(Part(name, strata))
    return parts


def pooled_reliability_z(
    r_yy: Float[np.ndarray, "split neuroid time_bin"],
    responses: Float[np.ndarray, "split stimulus neuroid time_bin"],
    strata: Int[np.ndarray, "split neuroid"],
    places: Int[np.ndarray, " stimulus"],
) -> Float[np.ndarray, " time_bin"]:
    """Return the pooled reliability in standard errors over stimuli, whatever maps predict.

    Parameters
    ----------
    r_yy
        Correlations of trial halves.
    responses
        Influences on them.
    strata
        Strata of the neuroids that are pooled.
    places
        Place of each stimulus; see `PooledScores.fill`.
    """
    return pooled_z(r_yy, responses, np.isfinite(r_yy) & (strata >= 0)[..., None], places)


@dataclass(frozen=True)
class PooledScores:
    """Pooled scores of one mapping, with what their intervals need.

    Parameters
    ----------
    score, one_sided
        Pooled noise-corrected r, and the one corrected for the noise of the recording only.
    r_xy, r_xx, r_yy
        X_j, P_j and Y_j of all neuroids; see `neurofit.metrics.pooled`.
    z_xx, z_yy
        Pooled consistency of maps and reliability of responses, in standard errors over stimuli.
    neuroids, stimuli
        Influences of each neuroid and of each stimulus on the score.
    v_cells, v_pairs
        Variances that are counted twice; see `neurofit.metrics.two_way`.
    cells, pairs
        Sketches of the influences of single cells (stimulus, neuroid), less their mean over
        neuroids, and of pairs of stimuli on the score of all neuroids.
    n_neuroids
        Number of neuroids with correlations.
    unreliable
        Whether maps are not fitted, since the responses are not reliable.
    """

    score: Float[np.ndarray, "row part time_bin"]
    one_sided: Float[np.ndarray, "row part time_bin"]
    r_xy: Float[np.ndarray, "row stratum time_bin"]
    r_xx: Float[np.ndarray, "row stratum time_bin"]
    r_yy: Float[np.ndarray, "row stratum time_bin"]
    z_xx: Float[np.ndarray, "row part time_bin"]
    z_yy: Float[np.ndarray, "row part time_bin"]
    neuroids: Float[np.ndarray, "row part neuroid time_bin"]
    stimuli: Float[np.ndarray, "row part stimulus time_bin"]
    v_cells: Float[np.ndarray, "row part time_bin"]
    v_pairs: Float[np.ndarray, "row part time_bin"]
    cells: Float[np.ndarray, "row part bucket time_bin"]
    pairs: Float[np.ndarray, "row bucket time_bin"]
    n_neuroids: Int[np.ndarray, "row part time_bin"]
    unreliable: Bool[np.ndarray, " time_bin"]

    @classmethod
    def empty(
        cls, *, n_rows: int, parts: list[Part], n_stimuli: int, n_neuroids: int, n_bins: int
    ) -> PooledScores:
        """Return scores that are not defined yet."""
        n_strata, n_parts = int(parts[0].strata.max()) + 1, len(parts)

        def undefined(*sizes: int) -> np.ndarray:
            return np.full((n_rows, *sizes, n_bins), np.nan)

        def zeros(*sizes: int, dtype: Any = np.float64) -> np.ndarray:
            return np.zeros((n_rows, *sizes, n_bins), dtype=dtype)

        return cls(
            score=undefined(n_parts),
            one_sided=undefined(n_parts),
            r_xy=undefined(n_strata),
            r_xx=undefined(n_strata),
            r_yy=undefined(n_strata),
            z_xx=undefined(n_parts),
            z_yy=undefined(n_parts),
            neuroids=zeros(n_parts, n_neuroids),
            stimuli=zeros(n_parts, n_stimuli),
            v_cells=zeros(n_parts),
            v_pairs=zeros(n_parts),
            cells=zeros(n_parts, N_BUCKETS, dtype=np.float32),
            pairs=zeros(N_BUCKETS, dtype=np.float32),
            n_neuroids=zeros(n_parts, dtype=np.int64),
            unreliable=np.zeros(n_bins, dtype=bool),
        )

    def fill_unreliable(
        self,
        bins: Int[np.ndarray, " time_bin"],
        z: Float[np.ndarray, " time_bin"],
        r_yy: Float[np.ndarray, "stratum time_bin"],
    ) -> None:
        """Take note of bins whose maps are not fitted: pooled reliability, its z, and Y_j."""
        self.unreliable[bins] = True
        self.z_yy[:, 0, bins] = z
        self.r_yy[:, :, bins] = r_yy

    def fill(
        self,
        row: int,
        bins: Int[np.ndarray, " time_bin"],
        r: tuple[np.ndarray, np.ndarray, np.ndarray],
        shares: Float[np.ndarray, "3 neuroid time_bin"],
        maps: MapInfluences,
        responses: Float[np.ndarray, "split stimulus neuroid time_bin"],
        parts: list[Part],
        places: Int[np.ndarray, " stimulus"],
        jackknife: Jackknife | None,
    ) -> None:
        """Compute the scores of a group of bins whose maps are all fitted.

        Parameters
        ----------
        row, bins
            Position of the layer, and positions of the time bins.
        r
            r_xy, r_xx and r_yy (split neuroid time_bin), the latter two averaged over halves.
        shares
            Noise of the halves and of all trials; see `neurofit.metrics.pooled.pool`.
        maps, responses
            Influences on r_xy and r_xx, and on r_yy.
        parts
            Neuroids to pool, and their strata.
        places
            Place of each stimulus, to which its influences are added: stimuli of a group, which are
            sampled together, have one place.
        jackknife
            The score without each group of stimuli, if influences of stimuli are to come from it;
            those of a group are then at the place of its first stimulus.
        """
        influences = (maps.r_xy, maps.r_xx, responses)
        for position, part in enumerate(parts):
            at = (row, position, bins)
            pooled = pool(*r, shares, part.strata)
            self.score[at], self.one_sided[at] = pooled.score, pooled.one_sided
            for target, k in ((self.z_xx, 1), (self.z_yy, 2)):
                target[at] = pooled_z(r[k], influences[k], pooled.valid, places)
            self.neuroids[row, position][:, bins] = pooled.neuroids
            cells = np.zeros(influences[0].shape[1:], dtype=np.float32)
            if jackknife is None:
                for by, influence in zip(pooled.slopes(part.strata), influences, strict=True):
                    for k in range(len(influence)):
                        cells += by[k].astype(np.float32) * influence[k]
                cells = add_up(cells, places)
                summed = cells.sum(axis=1, dtype=np.float64)
            else:
                cells[jackknife.firsts] = jackknife.cells(pooled, part.strata)
                summed = np.zeros((len(cells), len(bins)))
                given = np.isfinite(pooled.score)
                summed[jackknife.firsts] = np.where(given, jackknife.stimuli(part.strata), 0.0)
            self.stimuli[row, position][:, bins] = summed
            counted = np.any(pooled.valid, axis=0)
            self.n_neuroids[at] = counted.sum(axis=0)
            n = max(int(np.any(counted, axis=1).sum()), 1)
            cells -= cells.sum(axis=1, keepdims=True, dtype=np.float64) / n * counted
            self.v_cells[at] = n / max(n - 1, 1) * (cells.astype(np.float64) ** 2).sum(axis=(0, 1))
            self.cells[row, position][:, bins] = sketch_cells(cells)
            if position == 0:
                for own, values in zip(
                    (self.r_xy, self.r_xx, self.r_yy),
                    (pooled.r_xy, pooled.r_xx, pooled.r_yy),
                    strict=True,
                ):
                    own[row][:, bins] = values
                if jackknife is None:
                    by_pairs = np.nan_to_num(np.stack([pooled.by_xy, pooled.by_xx]))
                    sketch = np.einsum("kjb,kjhb->hb", by_pairs, maps.pairs)
                else:
                    sketch = jackknife.sketch_pairs(pooled, n_stimuli=len(places))
                self.pairs[row][:, bins] = sketch
                self.v_pairs[at] = squared_norm(sketch)
                twice = self.v_pairs[at] / np.maximum(sum_of_squares(summed), 1e-300)
            else:  # as large a share as in all neuroids
                self.v_pairs[at] = twice * sum_of_squares(summed)

    def influences(self, row: int, part: int) -> Influences:
        """Return the influences on a score."""
        return Influences(
            self.neuroids[row, part],
            self.stimuli[row, part],
            self.v_cells[row, part],
            self.v_pairs[row, part],
        )
