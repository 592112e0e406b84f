"""neurofit asks whether a recurrent vision model unfolds in time as V4 and IT do.

Names are imported on first use, so that `neurofit --help` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations as Activations
    from neurofit.activations.extract import extract as extract
    from neurofit.activations.model import Model as Model
    from neurofit.activations.model import validate_model as validate_model
    from neurofit.activations.presentation import Presentation as Presentation
    from neurofit.analyses.analysis import register_analysis as register_analysis
    from neurofit.analyses.ceiling import CeilingConfig as CeilingConfig
    from neurofit.analyses.ceiling import ceiling as ceiling
    from neurofit.analyses.comparison.config import CompareConfig as CompareConfig
    from neurofit.analyses.comparison.paired import compare as compare
    from neurofit.analyses.decoding import DecodingConfig as DecodingConfig
    from neurofit.analyses.decoding import decoding as decoding
    from neurofit.analyses.dimensionality import DimensionalityConfig as DimensionalityConfig
    from neurofit.analyses.dimensionality import dimensionality as dimensionality
    from neurofit.analyses.generalisation.config import GeneralisationConfig as GeneralisationConfig
    from neurofit.analyses.generalisation.generalise import generalisation as generalisation
    from neurofit.analyses.geometry import GeometryConfig as GeometryConfig
    from neurofit.analyses.geometry import geometry as geometry
    from neurofit.analyses.lag.config import LagConfig as LagConfig
    from neurofit.analyses.lag.lag import lag as lag
    from neurofit.analyses.latency import LatencyConfig as LatencyConfig
    from neurofit.analyses.latency import latency as latency
    from neurofit.analyses.partition.config import PartitionConfig as PartitionConfig
    from neurofit.analyses.partition.partition import partition as partition
    from neurofit.analyses.predictivity.config import ScoreConfig as ScoreConfig
    from neurofit.analyses.predictivity.presets import make_config as make_config
    from neurofit.analyses.predictivity.score import score as score
    from neurofit.analyses.recorded.animals import AnimalsConfig as AnimalsConfig
    from neurofit.analyses.recorded.animals import animals as animals
    from neurofit.analyses.recorded.areas import AreasConfig as AreasConfig
    from neurofit.analyses.recorded.areas import areas as areas
    from neurofit.analyses.recorded.turing import TuringConfig as TuringConfig
    from neurofit.analyses.recorded.turing import turing as turing
    from neurofit.analyses.run import RunConfig as RunConfig
    from neurofit.analyses.run import list_analyses as list_analyses
    from neurofit.analyses.run import run as run
    from neurofit.analyses.run import run_each as run_each
    from neurofit.analyses.similarity import SimilarityConfig as SimilarityConfig
    from neurofit.analyses.similarity import similarity as similarity
    from neurofit.analyses.solution_times import SolutionTimesConfig as SolutionTimesConfig
    from neurofit.analyses.solution_times import solution_times as solution_times
    from neurofit.analyses.sweeps.study import Study as Study
    from neurofit.analyses.sweeps.sweep import sweep as sweep
    from neurofit.analyses.verify import Verification as Verification
    from neurofit.analyses.verify import verify as verify
    from neurofit.config.compute import Compute as Compute
    from neurofit.config.progress import show_progress as show_progress
    from neurofit.data_loaders import list_recordings as list_recordings
    from neurofit.data_loaders import load_images as load_images
    from neurofit.data_loaders import load_recording as load_recording
    from neurofit.data_loaders import register_recording as register_recording
    from neurofit.data_loaders import write_recording as write_recording
    from neurofit.errors import NeurofitError as NeurofitError
    from neurofit.mapping import register_mapping as register_mapping
    from neurofit.models import create_model as create_model
    from neurofit.models import list_models as list_models
    from neurofit.models import register_model as register_model
    from neurofit.models import wrap as wrap
    from neurofit.recordings.recording import Recording as Recording
    from neurofit.recordings.selection import Selection as Selection
    from neurofit.recordings.stimuli import StimulusSet as StimulusSet
    from neurofit.recordings.validation import validate_recording as validate_recording
    from neurofit.results import figures as figures
    from neurofit.results.io import load_result as load_result
    from neurofit.results.io import save_result as save_result
    from neurofit.results.schema import validate_result as validate_result
    from neurofit.training.config import TrainConfig as TrainConfig
    from neurofit.training.train import train as train

__version__ = "0.1.0"

_MODULES = {
    "Activations": "neurofit.activations.activations",
    "AnimalsConfig": "neurofit.analyses.recorded.animals",
    "AreasConfig": "neurofit.analyses.recorded.areas",
    "CeilingConfig": "neurofit.analyses.ceiling",
    "CompareConfig": "neurofit.analyses.comparison.config",
    "Compute": "neurofit.config.compute",
    "DecodingConfig": "neurofit.analyses.decoding",
    "DimensionalityConfig": "neurofit.analyses.dimensionality",
    "GeneralisationConfig": "neurofit.analyses.generalisation.config",
    "GeometryConfig": "neurofit.analyses.geometry",
    "LagConfig": "neurofit.analyses.lag.config",
    "LatencyConfig": "neurofit.analyses.latency",
    "Model": "neurofit.activations.model",
    "NeurofitError": "neurofit.errors",
    "PartitionConfig": "neurofit.analyses.partition.config",
    "Presentation": "neurofit.activations.presentation",
    "Recording": "neurofit.recordings.recording",
    "RunConfig": "neurofit.analyses.run",
    "ScoreConfig": "neurofit.analyses.predictivity.config",
    "Selection": "neurofit.recordings.selection",
    "SimilarityConfig": "neurofit.analyses.similarity",
    "SolutionTimesConfig": "neurofit.analyses.solution_times",
    "StimulusSet": "neurofit.recordings.stimuli",
    "Study": "neurofit.analyses.sweeps.study",
    "TrainConfig": "neurofit.training.config",
    "TuringConfig": "neurofit.analyses.recorded.turing",
    "Verification": "neurofit.analyses.verify",
    "animals": "neurofit.analyses.recorded.animals",
    "areas": "neurofit.analyses.recorded.areas",
    "ceiling": "neurofit.analyses.ceiling",
    "compare": "neurofit.analyses.comparison.paired",
    "create_model": "neurofit.models",
    "decoding": "neurofit.analyses.decoding",
    "dimensionality": "neurofit.analyses.dimensionality",
    "extract": "neurofit.activations.extract",
    "figures": "neurofit.results.figures",
    "generalisation": "neurofit.analyses.generalisation.generalise",
    "geometry": "neurofit.analyses.geometry",
    "lag": "neurofit.analyses.lag.lag",
    "latency": "neurofit.analyses.latency",
    "list_analyses": "neurofit.analyses.run",
    "list_models": "neurofit.models",
    "list_recordings": "neurofit.data_loaders",
    "load_images": "neurofit.data_loaders",
    "load_recording": "neurofit.data_loaders",
    "load_result": "neurofit.results.io",
    "make_config": "neurofit.analyses.predictivity.presets",
    "partition": "neurofit.analyses.partition.partition",
    "register_analysis": "neurofit.analyses.analysis",
    "register_mapping": "neurofit.mapping",
    "register_model": "neurofit.models",
    "register_recording": "neurofit.data_loaders",
    "run": "neurofit.analyses.run",
    "run_each": "neurofit.analyses.run",
    "save_result": "neurofit.results.io",
    "score": "neurofit.analyses.predictivity.score",
    "show_progress": "neurofit.config.progress",
    "similarity": "neurofit.analyses.similarity",
    "solution_times": "neurofit.analyses.solution_times",
    "sweep": "neurofit.analyses.sweeps.sweep",
    "train": "neurofit.training.train",
    "turing": "neurofit.analyses.recorded.turing",
    "validate_model": "neurofit.activations.model",
    "validate_recording": "neurofit.recordings.validation",
    "validate_result": "neurofit.results.schema",
    "verify": "neurofit.analyses.verify",
    "wrap": "neurofit.models",
    "write_recording": "neurofit.data_loaders",
}
"""Public name -> the module that defines it; `figures` is a module itself."""

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'neurofit' has no attribute {name!r}")
    module = import_module(_MODULES[name])
    return module if name == "figures" else getattr(module, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
