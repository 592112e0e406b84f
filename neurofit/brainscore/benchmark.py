"""Noise-corrected predictivity and solution times as benchmarks of Brain-Score."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from brainscore_core.metrics import Score
from brainscore_vision.benchmark_helpers.screen import place_on_screen
from brainscore_vision.benchmarks import BenchmarkBase
from brainscore_vision.model_interface import BrainModel

from neurofit.analyses.ceiling import ceiling
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.brainscore.conversion import content_sha256, to_stimulus_set
from neurofit.brainscore.metric import NoiseCorrectedTemporal
from neurofit.brainscore.solution_times import RecordedSolutionTimes
from neurofit.recordings.recording import Recording

BIBTEX = """@inproceedings{nayebi2018,
  title = {Task-driven convolutional recurrent models of the visual system},
  author = {Nayebi, Aran and Bear, Daniel and Kubilius, Jonas and Kar, Kohitij and Ganguli, Surya
    and Sussillo, David and DiCarlo, James J and Yamins, Daniel L K},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {31},
  year = {2018}
}"""

BIBTEX_KAR = """@article{kar2019,
  title = {Evidence that recurrent circuits are critical to the ventral stream's execution of core
    object recognition behavior},
  author = {Kar, Kohitij and Kubilius, Jonas and Schmidt, Kailyn and Issa, Elias B and DiCarlo,
    James J},
  journal = {Nature Neuroscience},
  volume = {22},
  pages = {974--983},
  year = {2019}
}"""


class RecordingBenchmark(BenchmarkBase):  # type: ignore[misc]  # no types
    """Benchmark that scores models against a recording of one region.

    The identifier contains a hash of data and settings, because Brain-Score caches ceilings by
    identifier.

    Parameters
    ----------
    recording
        Recording with its images.
    region
        Region of the recording.
    metric
        Function of features and a recording, with a configuration for each region.
    bibtex
        Publication.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        region: str,
        metric: NoiseCorrectedTemporal | RecordedSolutionTimes,
        bibtex: str,
    ) -> None:
        self.recording = recording.select(region=region)
        self.recording.stimuli.need_images()
        self.region, self.metric = region, metric
        config = metric.config(region)
        options = config.as_attrs() if isinstance(config, ScoreConfig) else asdict(config)
        settings_json = json.dumps([content_sha256(self.recording), options], sort_keys=True)
        digest = hashlib.sha256(settings_json.encode()).hexdigest()
        kind = "ost"
        if isinstance(config, ScoreConfig):
            kind = f"{config.mapping_names[0]}-{config.time_mode}"
        super().__init__(
            identifier=f"neurofit.{recording.name}.{region}-{kind}-{digest[:8]}",
            ceiling_func=self._reliability,
            version=1,
            parent=region,
            bibtex=bibtex,
        )
        self._stimuli = to_stimulus_set(self.recording.stimuli)

    def __call__(self, candidate: BrainModel) -> Score:
        """Return the score of a model by the metric."""
        candidate.start_recording(self.region, time_bins=self.recording.time_bins)
        shown = place_on_screen(
            self._stimuli,
            target_visual_degrees=candidate.visual_degrees(),
            source_visual_degrees=self.recording.stimuli.visual_degrees,
        )
        score = self.metric(candidate.look_at(shown), self.recording)
        score.attrs |= {
            "model_identifier": candidate.identifier,
            "benchmark_identifier": self.identifier,
        }
        return score

    def _reliability(self) -> Score:
        """Return the mean over time bins of the median reliability; `raw` has the time bins."""
        found = ceiling(self.recording)
        made = Score(float(found.curve.mean()))
        bins = {
            name: ("time_bin", found[name].values) for name in ("time_bin_start", "time_bin_end")
        }
        made.attrs["raw"] = Score(found.curve.values, coords=bins, dims=("time_bin",))
        made.attrs["error"] = float((found.curve_high - found.curve_low).mean() / 4)
        return made


class TemporalPredictivityBenchmark(RecordingBenchmark):
    """Benchmark that scores models against a recording of one region, per time bin.

    Called with a BrainModel, it returns the score of `NoiseCorrectedTemporal`: a scalar, corrected
    for noise, with the curve (time_bin) in its attributes. The identifier contains a hash of data
    and settings, because Brain-Score caches ceilings by identifier.

    Parameters
    ----------
    recording
        Recording with its images; its time bins are those of the benchmark.
    region
        Area of the recording, "V4" or "IT".
    **settings
        Arguments of `NoiseCorrectedTemporal`.

    Raises
    ------
    NeurofitError
        If the recording has no such region or no images, or a setting is wrong.

    Notes
    -----
    Source: Nayebi et al. 2018; docs/method.md has the formulas.
    """

    def __init__(self, recording: Recording, *, region: str, **settings: Any) -> None:
        metric = NoiseCorrectedTemporal(**settings)
        super().__init__(recording, region=region, metric=metric, bibtex=BIBTEX)


class SolutionTimesBenchmark(RecordingBenchmark):
    """Benchmark that compares the object solution times of models with those of a recording.

    Called with a BrainModel, it returns the score of `RecordedSolutionTimes`, corrected for noise.

    Parameters
    ----------
    recording
        Recording with its images, whose stimuli have labels; its time bins are those of the
        benchmark.
    region
        Area of the recording, usually "IT".
    **settings
        Fields of `neurofit.SolutionTimesConfig`.

    Raises
    ------
    NeurofitError
        If the recording has no such region or no images, or a setting is wrong.

    Notes
    -----
    Source: Kar et al. 2019, Nature Neuroscience 22:974.
    """

    def __init__(self, recording: Recording, *, region: str, **settings: Any) -> None:
        metric = RecordedSolutionTimes(**settings)
        super().__init__(recording, region=region, metric=metric, bibtex=BIBTEX_KAR)
