"""Object solution times in Brain-Score: its own metric without TensorFlow, and one for recordings.

`SolutionTimes` has the numbers of Brain-Score's metric `ost`: decoders of
`neurofit.brainscore.probabilities`, d' and times of `neurofit.metrics.solution_times`, ten random
tenths of the images as test images, Spearman's correlation over the test images that have both
times, mean over the tenths. `RecordedSolutionTimes` is the analysis `solution_times`.
"""

from __future__ import annotations

from typing import Any

import brainscore_vision
import numpy as np
import xarray as xr
from brainscore_core.metrics import Metric, Score
from brainscore_vision.benchmarks import BenchmarkBase
from jaxtyping import Float
from scipy.stats import rankdata
from sklearn.model_selection import ShuffleSplit

from neurofit.analyses.solution_times import SolutionTimesConfig
from neurofit.analyses.solution_times import solution_times as analysis
from neurofit.brainscore.conversion import flat_coords, from_assembly, to_text
from neurofit.brainscore.features import from_features
from neurofit.brainscore.probabilities import SoftmaxRegression
from neurofit.errors import NeurofitError
from neurofit.metrics.averages import nanmean
from neurofit.metrics.solution_times import image_dprimes, solution_times
from neurofit.recordings.recording import DIMS, Recording

LABEL = "image_label"
"""Coordinate with the object of each image."""


class SolutionTimes(Metric):  # type: ignore[misc]  # Brain-Score has no types
    """Spearman correlation of a model's object solution times with those of a recording.

    It has the numbers of Brain-Score's metric `ost`, without TensorFlow.

    Parameters
    ----------
    keras
        Version of Keras whose first weights the decoders have: 3 is that of TensorFlow 2.16 and
        later, 2 that before.

    Notes
    -----
    Source: Kar et al. 2019, Nature Neuroscience 22:974, and Brain-Score's metric `ost`.
    """

    def __init__(self, *, keras: int = 3) -> None:
        self.keras = keras

    def __call__(self, source: xr.DataArray, target: xr.DataArray) -> Score:
        """Return the correlation, with the attributes `raw` (split) and `error`.

        Parameters
        ----------
        source
            Features (presentation neuroid time_bin) with `stimulus_id` and `image_label`.
        target
            Solution times (presentation) in ms, with `stimulus_id` and `i1`, the threshold.

        Raises
        ------
        NeurofitError
            If an image of the target is not among those of the source, or a label is missing.
        """
        known, own = flat_coords(source), flat_coords(target)
        shown = to_text(known["stimulus_id"][1]).tolist()
        row_of = {stimulus: row for row, stimulus in reversed(list(enumerate(shown)))}
        asked = to_text(own["stimulus_id"][1]).tolist()
        if lacking := [stimulus for stimulus in asked if stimulus not in row_of]:
            raise NeurofitError(
                f"The features must have all {len(asked):,} images of the solution times; "
                f"{len(lacking):,} are missing, the first {lacking[0]!r}."
            )
        if LABEL not in known:
            raise NeurofitError(
                f"The features need a coordinate {LABEL}; they have {', '.join(sorted(known))}."
            )
        rows = [row_of[stimulus] for stimulus in asked]
        starts = np.asarray(known["time_bin_start"][1])
        order = np.argsort(starts, kind="stable")
        features = source.transpose(*DIMS).values[rows][..., order]
        labels, thresholds = known[LABEL][1][rows], own["i1"][1].astype(np.float64)
        r = []
        for split in ShuffleSplit(10, test_size=0.1, random_state=1).split(rows):
            train, test = map(np.sort, split)  # batches of the decoders are in the images' order
            times = self._times(features, labels, thresholds[test], starts[order], train, test)
            r.append(_rank_correlation(times, target.values[test]))
        score = Score(float(nanmean(np.array(r), axis=0)))
        score.attrs["raw"] = Score(r, coords={"split": np.arange(len(r))}, dims=("split",))
        score.attrs["error"] = (
            float(np.nanstd(r) / np.sqrt(len(r))) if np.isfinite(r).any() else np.nan
        )
        return score

    def _times(
        self,
        features: Float[np.ndarray, "image unit time_bin"],
        labels: np.ndarray,
        thresholds: Float[np.ndarray, " test"],
        starts: np.ndarray,
        train: np.ndarray,
        test: np.ndarray,
    ) -> Float[np.ndarray, " test"]:
        """Return the solution times of test images, by decoders of the others."""
        number_of = {label: number for number, label in enumerate(dict.fromkeys(labels[train]))}
        numbers = np.array([number_of[label] for label in labels])
        dprimes = np.empty((len(test), len(starts)))
        for b in range(len(starts)):
            model = SoftmaxRegression(self.keras).fit(features[train, :, b], numbers[train])
            probabilities = model.probabilities(features[test, :, b]).astype(np.float64)
            dprimes[:, b] = image_dprimes(probabilities, numbers[test])
        return solution_times(dprimes, thresholds, starts.astype(np.float64))


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's correlation over the images that have both, however few."""
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 2:
        return float("nan")
    x, y = rankdata(x[both]), rankdata(y[both])
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(x, y)[0, 1])


class RecordedSolutionTimes(Metric):  # type: ignore[misc]  # Brain-Score has no types
    """Noise-corrected correlation of a model's object solution times with those of a recording.

    Parameters
    ----------
    **changes
        Fields of `neurofit.SolutionTimesConfig`; a wrong one is an error of the first score.

    Notes
    -----
    Source: Kar et al. 2019, Nature Neuroscience 22:974; the analysis is `neurofit.solution_times`.
    """

    def __init__(self, **changes: Any) -> None:
        self.changes = changes

    def config(self, region: str) -> SolutionTimesConfig:
        """Return the configuration of the analysis in this region."""
        return SolutionTimesConfig(layers=(region,), **self.changes)

    def __call__(self, source: xr.DataArray, target: xr.DataArray | Recording) -> Score:
        """Return the correlation of the features of a model.

        Parameters
        ----------
        source
            Features (presentation neuroid time_bin) of the model.
        target
            Assembly of single trials, or a recording, of one region, whose stimuli have labels.

        Returns
        -------
        Score
            Corrected correlation, NaN where there is none. Its attributes are `raw` (not
            corrected), `ceiling` (the reliability of the recording's times), `low` and `high` (its
            interval) and `n_images`.
        """
        recording = target if isinstance(target, Recording) else from_assembly(target)
        region = recording.regions[0]
        activations = from_features(
            source, model="candidate", region=region, stimulus_ids=recording.stimuli.ids
        )
        result = analysis(activations, recording, self.config(region))
        score = Score(float(result.correlation[0]))
        score.attrs |= {
            "raw": Score(float(result.raw_correlation[0])),
            "ceiling": Score(float(result.reliability[0])),
            "low": float(result.correlation_low[0]),
            "high": float(result.correlation_high[0]),
            "n_images": int(result.n_images[0]),
        }
        return score


def kar2019() -> BenchmarkBase:
    """Return Brain-Score's benchmark Kar2019-ost with this metric instead of its own.

    Its data are private: Brain-Score needs credentials, or the files in BRAINIO_HOME.
    """
    benchmark = brainscore_vision.load_benchmark("Kar2019-ost")
    benchmark._similarity_metric = SolutionTimes()
    benchmark._identifier = f"neurofit-{benchmark.identifier}"
    return benchmark
