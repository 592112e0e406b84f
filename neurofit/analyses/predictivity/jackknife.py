"""The jackknife over stimuli: the whole pooled score without each of G random groups of them.

Without group g, maps are fitted to the other training stimuli and tested on the other test stimuli;
r_yy and the noise of halves are over these too. Strata stay as they are. With the scores theta_g
and their mean,

    h_g = (G - 1) / G (mean - theta_g),    V_S = G / (G - 1) sum_g h_g^2,

which is the variance of a delete-a-group jackknife (G - 1) / G sum_g (theta_g - mean)^2. It holds
for any map, where influences of training stimuli are known for linear smoothers only. To first
order, h_g is a sum over neuroids, whose terms are cells (group, neuroid).

A jackknife counts interactions of two groups twice (Efron & Stein 1981, Ann Stat 9:586), as the sum
of squared influences does. Those of training stimuli of one group with test stimuli of another are
known: every refitted map is tested without every group. V_X is their sum of squares.
References: Efron (1982), The jackknife, the bootstrap and other resampling plans; Kott (2001),
J Off Stat 17:521, for groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.analyses.encoding.averages import RunningMean
from neurofit.analyses.encoding.targets import HalfMeans, Session, Targets, TrialMeans
from neurofit.analyses.predictivity.terms import without_constants
from neurofit.metrics.correlation import pearson_without
from neurofit.metrics.pooled import Pooled, pool
from neurofit.metrics.sketch import pair_sketcher


@dataclass(frozen=True)
class ReliabilityWithout:
    """Reliability without each group of stimuli, in a group of time bins.

    Parameters
    ----------
    r_yy
        Half correlations, averaged over halves (group split neuroid time_bin).
    shares
        Noise shares, averaged over halves (group 3 neuroid time_bin).
    """

    r_yy: RunningMean
    shares: RunningMean

    @classmethod
    def empty(cls, n_groups: int, shape: tuple[int, ...]) -> ReliabilityWithout:
        """Return means without samples; the shape is (split, neuroid, time_bin)."""
        n_splits, *sizes = shape
        return cls(
            RunningMean.empty((n_groups, n_splits, *sizes)),
            RunningMean.empty((n_groups, 3, *sizes)),
        )

    def add(
        self, chunk: HalfMeans, means: TrialMeans, groups: Bool[np.ndarray, "group stimulus"]
    ) -> None:
        """Add a chunk of halves."""
        first, second = np.split(chunk.sets[1:], 2)
        for session in means.sessions:
            for test, stimuli in enumerate(means.ceiling_tests):
                tested = Session(session.neuroids, session.stimuli & stimuli)
                inside = groups[:, tested.stimuli]
                r = pearson_without(tested.select(first), tested.select(second), inside)
                at = (slice(None), test, np.flatnonzero(session.neuroids))
                self.r_yy.add(at, r.transpose(0, 2, 3, 1))
        for group, members in enumerate(groups):
            self.shares.add((group,), means.shares(chunk.halves, ~members).swapaxes(0, 1))


@dataclass(frozen=True)
class MapsWithout:
    """Correlations of refitted maps of one layer and mapping, in a group of time bins.

    Parameters
    ----------
    r_xy
        Correlations without a group in training and test (group split neuroid time_bin).
    r_xx
        The same of maps of two halves, averaged over halves.
    crossed
        Correlations without one group in training and another in the test, for r_xy and for r_xx,
        summed over splits and over the neuroids of a stratum.
    """

    r_xy: Float[np.ndarray, "group split neuroid time_bin"]
    r_xx: RunningMean
    crossed: Float[np.ndarray, "2 stratum group group time_bin"]

    @classmethod
    def empty(cls, n_groups: int, shape: tuple[int, ...], *, n_strata: int) -> MapsWithout:
        """Return correlations that are not known yet; the shape is (split, neuroid, time_bin)."""
        sizes = (n_groups, *shape)
        crossed = np.zeros((2, n_strata, n_groups, n_groups, shape[2]))
        return cls(np.full(sizes, np.nan), RunningMean.empty(sizes), crossed)

    def add(
        self,
        group: int,
        test: int,
        at: Int[np.ndarray, " time_bin"],
        targets: Targets,
        predicted: Float[np.ndarray, "set time_bin test_stimulus neuroid"],
        tested: Bool[np.ndarray, " stimulus"],
        groups: Bool[np.ndarray, "group recorded_stimulus"],
        *,
        n_halves: int,
        strata: Int[np.ndarray, " recorded_neuroid"],
    ) -> None:
        """Add the predictions of one test by maps that are fitted without a group.

        Parameters
        ----------
        group, test
            Positions of the group that is left out of training, and of the split.
        at
            Positions of the bins in the group of bins.
        targets, predicted, tested
            What was fitted, predictions of the tested stimuli, and which these are.
        groups
            Groups of stimuli.
        n_halves
            Number of all halves.
        strata
            Stratum of each neuroid of the recording in this split.
        """
        inside, neuroids = groups[:, targets.stimuli[tested]], targets.neuroids
        first, second = np.split(predicted[1:], 2)
        place = (group, test, neuroids[:, None], at)
        r_xx = pearson_without(first, second, inside).transpose(0, 2, 3, 1)  # (half group n b)
        self.r_xx.add(place, r_xx[:, group])
        summed = [np.zeros_like(r_xx[0]), np.nan_to_num(r_xx).sum(axis=0) / n_halves]
        if targets.first:
            response = targets.sets[:1, :, tested]
            r_xy = pearson_without(predicted[:1], response, inside)[0].transpose(1, 2, 0)
            self.r_xy[place] = r_xy[group]
            summed[0] = np.nan_to_num(r_xy)
        own = strata[neuroids]
        for stratum in np.unique(own[own >= 0]):
            for crossed, r in zip(self.crossed, summed, strict=True):
                crossed[stratum, group][:, at] += r[:, own == stratum].sum(axis=1)


@dataclass(frozen=True)
class Jackknife:
    """A pooled score without each group of stimuli, in a group of time bins.

    Parameters
    ----------
    r
        r_xy, r_xx and r_yy without each group (group split neuroid time_bin), the latter two
        averaged over halves.
    shares
        Noise shares without each group.
    crossed
        See `MapsWithout`.
    firsts
        First stimulus of each group, in increasing order.
    """

    r: tuple[np.ndarray, np.ndarray, np.ndarray]
    shares: Float[np.ndarray, "group 3 neuroid time_bin"]
    crossed: Float[np.ndarray, "2 stratum group group time_bin"]
    firsts: Int[np.ndarray, " group"]

    @classmethod
    def of(
        cls,
        reliability: ReliabilityWithout,
        maps: MapsWithout,
        groups: Bool[np.ndarray, "group stimulus"],
    ) -> Jackknife:
        """Return the jackknife of maps that are all fitted."""
        r = *without_constants(maps.r_xy, maps.r_xx.value), reliability.r_yy.value
        return cls(r, reliability.shares.value, maps.crossed, groups.argmax(axis=1))

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.shares)

    def scores(
        self, strata: Int[np.ndarray, "split neuroid"]
    ) -> Float[np.ndarray, "group time_bin"]:
        """Return the scores without each group."""
        each = zip(*self.r, self.shares, strict=True)
        return np.stack([pool(xy, xx, yy, own, strata).score for xy, xx, yy, own in each])

    def stimuli(
        self, strata: Int[np.ndarray, "split neuroid"]
    ) -> Float[np.ndarray, "group time_bin"]:
        """Return the influence of each group, h_g."""
        scores = self.scores(strata)
        return np.asarray((scores.mean(axis=0) - scores) * (1 - 1 / self.n_groups))

    def cells(
        self, pooled: Pooled, strata: Int[np.ndarray, "split neuroid"]
    ) -> Float[np.ndarray, "group neuroid time_bin"]:
        """Return the influence of each group in each neuroid, to first order.

        The sum of squares is G / (G - 1) times that of the terms of h_g, as in V_S.
        """
        cells = np.zeros((self.n_groups, *self.shares.shape[2:]))
        for by, r in zip(pooled.slopes(strata), self.r, strict=True):
            moved = np.nan_to_num(r.mean(axis=0) - r)
            cells += np.einsum("knb,gknb->gnb", by, moved)
        return np.asarray(cells * np.sqrt(1 - 1 / self.n_groups))

    def pairs(self, pooled: Pooled) -> Float[np.ndarray, "group group time_bin"]:
        """Return the influence of each pair of a training group and another test group."""
        by = np.nan_to_num(np.stack([pooled.by_xy, pooled.by_xx]))
        pairs = np.einsum("kjb,kjghb->ghb", by, self.crossed)
        pairs -= pairs.mean(axis=0)
        pairs -= pairs.mean(axis=1, keepdims=True)
        pairs[np.diag_indices(self.n_groups)] = 0
        return np.asarray(pairs * (1 - 1 / self.n_groups))

    def sketch_pairs(
        self, pooled: Pooled, *, n_stimuli: int
    ) -> Float[np.ndarray, "bucket time_bin"]:
        """Return the sketch of these pairs, each at the first stimuli of both groups."""
        places = np.arange(n_stimuli)
        firsts, pairs = np.isin(places, self.firsts), self.pairs(pooled)
        sketcher = pair_sketcher(firsts, firsts, places)
        return np.asarray(sketcher @ pairs.reshape(-1, pairs.shape[2]))
