"""Brain-Score's models and benchmarks in neurofit, and ours in Brain-Score (docs/brainscore.md).

Importing this package requires Brain-Score (pip install 'neurofit[brainscore]'), in a separate
environment.
"""

from neurofit.brainscore.environment import prepare

prepare()

# ruff: noqa: E402 - the environment has to be set before Brain-Score is imported
from neurofit.brainscore.benchmark import SolutionTimesBenchmark, TemporalPredictivityBenchmark
from neurofit.brainscore.brain_model import NeurofitBrainModel
from neurofit.brainscore.candidate import activations_of, recording_of, score_benchmark
from neurofit.brainscore.conversion import from_assembly, to_assembly, to_stimulus_set
from neurofit.brainscore.metric import NoiseCorrectedTemporal
from neurofit.brainscore.registration import register, unregister
from neurofit.brainscore.solution_times import RecordedSolutionTimes, SolutionTimes

__all__ = [
    "NeurofitBrainModel",
    "NoiseCorrectedTemporal",
    "RecordedSolutionTimes",
    "SolutionTimes",
    "SolutionTimesBenchmark",
    "TemporalPredictivityBenchmark",
    "activations_of",
    "from_assembly",
    "recording_of",
    "register",
    "score_benchmark",
    "to_assembly",
    "to_stimulus_set",
    "unregister",
]
