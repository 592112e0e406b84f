"""Brain-Score and neurofit: our models, metric and benchmark inside Brain-Score, theirs inside ours (docs/brainscore.md).

Importing it needs Brain-Score (pip install 'neurofit[brainscore]'), in an environment of its own.
"""

from neurofit.brainscore.environment import prepare

prepare()

from neurofit.brainscore.benchmark import TemporalPredictivityBenchmark  # noqa: E402 - the environment comes first
from neurofit.brainscore.brain_model import NeurofitBrainModel  # noqa: E402
from neurofit.brainscore.candidate import activations_of, recording_of, score_benchmark  # noqa: E402
from neurofit.brainscore.conversion import from_assembly, to_assembly, to_stimulus_set  # noqa: E402
from neurofit.brainscore.metric import NoiseCorrectedTemporal  # noqa: E402
from neurofit.brainscore.registration import register, unregister  # noqa: E402

__all__ = [
    "NeurofitBrainModel",
    "NoiseCorrectedTemporal",
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
