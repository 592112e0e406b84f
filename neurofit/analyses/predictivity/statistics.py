"""Everything that a score gathers while maps are fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurofit.analyses.encoding.finished import arrays_of
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.influences import MapInfluences, reliability_influences
from neurofit.analyses.encoding.reliability import Reliability
from neurofit.analyses.encoding.targets import Targets, TrialMeans
from neurofit.analyses.encoding.training import training_reliability
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.jackknife import Jackknife, MapsWithout, ReliabilityWithout
from neurofit.analyses.predictivity.pooling import (
    Part,
    PooledScores,
    deal_parts,
    pooled_reliability_z,
)
from neurofit.analyses.predictivity.terms import Predictivity, split_correlations
from neurofit.mapping.fits import Smoother
from neurofit.metrics.pooled import stratum_reliability


@dataclass(frozen=True)
class Statistics:
    """Accumulator of a score: reliability, predictivity and pooled scores of each mapping.

    Parameters
    ----------
    reliability, predictivities
        Statistics per neuroid, of the recording and of each mapping.
    partial
        Statistics of maps that are fitted to a part of the training stimuli, of each mapping and
        part; without influences.
    pooled
        Pooled scores of each mapping with their influences; empty for other formulas.
    parts
        Neuroids that are pooled.
    z
        Half correlation of each neuroid on the training stimuli of each split.
    places
        Place of each stimulus among those that are sampled: its own, or that of the first stimulus
        of its group.
    deleted
        Groups of stimuli of a jackknife: boolean (group stimulus).
    least_z
        Maps of a time bin whose pooled reliability is fewer standard errors above 0 are not fitted.
    """

    reliability: Reliability
    predictivities: list[Predictivity]
    partial: list[list[Predictivity]]
    pooled: list[PooledScores]
    parts: list[Part]
    z: np.ndarray
    places: np.ndarray
    deleted: np.ndarray
    least_z: float

    @classmethod
    def empty(cls, fitting: Fitting, config: ScoreConfig, *, influences: bool) -> Statistics:
        """Return statistics without samples; `influences` are those of terms of each neuroid."""
        n_stimuli, (n_neuroids, n_bins) = len(fitting.recording.stimuli), fitting.shape
        sizes: dict[str, Any] = {
            "n_stimuli": n_stimuli if influences else 0,
            "average": config.average,
        }
        z = training_reliability(fitting) if config.pools else np.zeros((0, n_neuroids))
        coords = fitting.recording.responses.coords
        parts = deal_parts(z, coords["subject"].values if "subject" in coords else None)
        pooled = [
            PooledScores.empty(
                n_rows=fitting.n_rows,
                parts=parts,
                n_stimuli=n_stimuli,
                n_neuroids=n_neuroids,
                n_bins=n_bins,
            )
            for _ in (fitting.mappings if config.formula == "pooled_r" else [])
        ]
        floor = config.reliability_floor or 0.0
        predictivities = [
            Predictivity.empty(fitting, floor=floor, **sizes) for _ in fitting.mappings
        ]
        without = {**sizes, "n_stimuli": 0}
        partial = [
            [Predictivity.empty(fitting, floor=floor, **without) for _ in fitting.train_parts]
            for _ in fitting.mappings
        ]
        reliability = Reliability.empty(fitting, **sizes)
        return cls(
            reliability,
            predictivities,
            partial,
            pooled,
            parts,
            z,
            fitting.splits.places,
            fitting.deleted,
            -np.inf if config.min_z is None or config.time_mode == "fixed" else config.min_z,
        )

    def columns(self) -> list[np.ndarray]:
        """Return the arrays that fits fill; see `Columnar`."""
        filled = [self.reliability, self.predictivities, self.partial, self.pooled]
        return list(arrays_of(filled))

    def given(self) -> list[np.ndarray]:
        """Return the arrays that these numbers depend on; see `Columnar`."""
        return [self.z, self.places, self.deleted, *(part.strata for part in self.parts)]

    def start(self, bins: np.ndarray, means: TrialMeans) -> Group | None:
        """Add the trial means of a group of bins; return None if they are not reliable."""
        self.reliability.add(bins, means)
        group = Group(self, bins, means)
        return group if group.may_have_score() else None


class Group:
    """Statistics of a group of time bins, until all of its maps are fitted."""

    def __init__(self, statistics: Statistics, bins: np.ndarray, means: TrialMeans) -> None:
        self._statistics, self._bins = statistics, bins
        self._maps: dict[tuple[int, int], MapInfluences] = {}
        self._refits: dict[tuple[int, int], MapsWithout] = {}
        self._without: ReliabilityWithout | None = None
        reliability = statistics.reliability
        n_tests, _, n_neuroids, _ = reliability.r_yy.shape
        self._n_halves = means.n_halves
        if statistics.pooled:
            n_stimuli = statistics.pooled[0].stimuli.shape[2]
            self._shape = (n_tests, n_stimuli, n_neuroids, len(bins))
            self._responses = np.zeros(self._shape, dtype=np.float32)
            n_groups, self._sizes = len(statistics.deleted), (n_tests, n_neuroids, len(bins))
            if n_groups:
                self._without = ReliabilityWithout.empty(n_groups, self._sizes)
            for chunk in means:
                if self._without is not None:
                    self._without.add(chunk, means, statistics.deleted)
                for session in means.sessions:
                    reliability_influences(
                        chunk.sets[1:],
                        session,
                        means.ceiling_tests,
                        self._responses,
                        n_halves=self._n_halves,
                    )

    def may_have_score(self) -> bool:
        """Return whether the recording alone lets the group have a score; store why not."""
        statistics, bins = self._statistics, self._bins
        if not statistics.pooled:
            return True
        reliability, strata = statistics.reliability, statistics.parts[0].strata
        r_yy = reliability.per_test.value[..., bins]
        z = pooled_reliability_z(r_yy, self._responses, strata, statistics.places)
        may = not (z < statistics.least_z).all()
        if not may:
            shares = reliability.shares.value[..., bins]
            for pooled in statistics.pooled:
                pooled.fill_unreliable(bins, z, stratum_reliability(r_yy, shares, strata))
        return may

    def add(
        self,
        mapping: int,
        row: int,
        test: int,
        at: np.ndarray,
        targets: Targets,
        predicted: np.ndarray,
        tested: np.ndarray,
        smoother: Smoother | None,
    ) -> None:
        """Add the predictions of one test; see `GroupAccumulator`."""
        statistics = self._statistics
        predictivity = statistics.predictivities[mapping]
        predictivity.add(row, test, self._bins[at], targets, predicted, tested)
        if not statistics.pooled:
            return
        strata, n_strata = self._strata
        if (mapping, row) not in self._maps:
            self._maps[mapping, row] = MapInfluences.empty(self._shape, n_strata=n_strata)
        self._maps[mapping, row].add(
            test,
            at,
            targets,
            predicted,
            tested,
            smoother,
            n_halves=self._n_halves,
            strata=strata[test],
            places=statistics.places,
        )

    def add_part(
        self,
        part: int,
        mapping: int,
        row: int,
        test: int,
        at: np.ndarray,
        targets: Targets,
        predicted: np.ndarray,
        tested: np.ndarray,
    ) -> None:
        """Add the predictions of a map that is fitted to fewer stimuli; see `GroupAccumulator`."""
        statistics = self._statistics
        if part < len(statistics.partial[mapping]):
            predictivity = statistics.partial[mapping][part]
            predictivity.add(row, test, self._bins[at], targets, predicted, tested)
            return
        strata, n_strata = self._strata
        groups = statistics.deleted
        if (mapping, row) not in self._refits:
            empty = MapsWithout.empty(len(groups), self._sizes, n_strata=n_strata)
            self._refits[mapping, row] = empty
        self._refits[mapping, row].add(
            part - len(statistics.partial[mapping]),
            test,
            at,
            targets,
            predicted,
            tested,
            groups,
            n_halves=self._n_halves,
            strata=strata[test],
        )

    @property
    def _strata(self) -> tuple[np.ndarray, int]:
        """Strata of all neuroids, and their number."""
        strata = self._statistics.parts[0].strata
        return strata, int(strata.max()) + 1

    def finish(self) -> None:
        """Pool the correlations of all splits."""
        statistics, bins = self._statistics, self._bins
        reliability = statistics.reliability
        for (mapping, row), influences in self._maps.items():
            statistics.pooled[mapping].fill(
                row,
                bins,
                split_correlations(reliability, statistics.predictivities[mapping], row, bins),
                reliability.shares.value[..., bins],
                influences,
                self._responses,
                statistics.parts,
                statistics.places,
                self._jackknife(mapping, row),
            )

    def _jackknife(self, mapping: int, row: int) -> Jackknife | None:
        if self._without is None:
            return None
        return Jackknife.of(self._without, self._refits[mapping, row], self._statistics.deleted)
