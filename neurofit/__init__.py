"""neurofit: does a recurrent vision model unfold in time as V4 and IT do? One noise-corrected curve per area.

The front door: names are imported on first use, so that `neurofit --help` does not wait for torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurofit.assemblies import Recording as Recording
    from neurofit.assemblies import validate_recording as validate_recording
    from neurofit.ceiling import ceiling as ceiling
    from neurofit.data_loaders import list_recordings as list_recordings
    from neurofit.data_loaders import load_images as load_images
    from neurofit.data_loaders import load_recording as load_recording
    from neurofit.data_loaders import write_recording as write_recording
    from neurofit.errors import NeurofitError as NeurofitError
    from neurofit.extract import Activations as Activations
    from neurofit.extract import extract as extract
    from neurofit.models import create_model as create_model
    from neurofit.models import list_models as list_models
    from neurofit.models import wrap as wrap
    from neurofit.parts import select as select
    from neurofit.presentation import Presentation as Presentation
    from neurofit.presets import ScoreConfig as ScoreConfig
    from neurofit.presets import make_config as make_config
    from neurofit.protocol import Model as Model
    from neurofit.protocol import validate_model as validate_model
    from neurofit.score import score as score
    from neurofit.score import score_many as score_many
    from neurofit.stimuli import StimulusSet as StimulusSet
    from neurofit.train import TrainConfig as TrainConfig
    from neurofit.train import train as train

__version__ = "0.1.0"

_HOME_OF = {
    "Activations": "neurofit.extract",
    "Model": "neurofit.protocol",
    "NeurofitError": "neurofit.errors",
    "Presentation": "neurofit.presentation",
    "Recording": "neurofit.assemblies",
    "ScoreConfig": "neurofit.presets",
    "StimulusSet": "neurofit.stimuli",
    "TrainConfig": "neurofit.train",
    "ceiling": "neurofit.ceiling",
    "create_model": "neurofit.models",
    "extract": "neurofit.extract",
    "list_models": "neurofit.models",
    "list_recordings": "neurofit.data_loaders",
    "load_images": "neurofit.data_loaders",
    "load_recording": "neurofit.data_loaders",
    "make_config": "neurofit.presets",
    "score": "neurofit.score",
    "score_many": "neurofit.score",
    "select": "neurofit.parts",
    "train": "neurofit.train",
    "validate_model": "neurofit.protocol",
    "validate_recording": "neurofit.assemblies",
    "wrap": "neurofit.models",
    "write_recording": "neurofit.data_loaders",
}


class _FrontDoor(ModuleType):
    """Keeps `neurofit.score` the function: importing the module of that name would otherwise put itself in its place."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'neurofit' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*_HOME_OF, "__version__"]
