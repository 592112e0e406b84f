"""What a result depends on, as hashes: its weights, its stimuli, its configuration, the code."""

from __future__ import annotations

import hashlib
import inspect
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofit.config.code import code_sha256
from neurofit.results.provenance import to_json
from neurofit.storage.home import sha256_of

if TYPE_CHECKING:
    from neurofit.analyses.run import RunConfig
    from neurofit.recordings.recording import Recording

NUMBERS = 2
"""Version of the numbers: raised when the same configuration gives other numbers than before."""

PATHS = ("model", "weights", "recording", "images")
"""Options of a run that are replaced by hashes of what they stand for."""


def weights_identity(config: RunConfig) -> str:
    """Return what identifies a model and its weights; empty if only building it tells.

    It is the hash of a file of weights, or the seed of random ones; empty for a model whose
    function is your own, which may change, and for one that cannot be built without its weights.
    """
    from neurofit.models import find_name, list_models, model_info
    from neurofit.models.catalogue import BASELINE

    found = find_name(str(config.model))
    if found is not None and found.source == "file" and Path(found.network).is_file():
        weights = Path(config.weights)
        given = _sha256(weights) if weights.is_file() else f"{config.weights} {config.model_seed}"
        return f"file {_sha256(Path(found.network))} {found.query} {given}"
    if str(config.model) not in list_models():
        return ""
    info = model_info(str(config.model))
    if info.makes_weights:
        return ""
    path = info.weights if str(config.weights) == "auto" else Path(config.weights)
    if str(config.weights) != "random" and path.is_file():
        return f"{info.name} {_sha256(path)}"
    if str(config.weights) == "auto" and info.family != BASELINE:
        return ""
    return f"{info.name} random {config.model_seed}"


def extraction_key(config: RunConfig, recording: Recording, device: str) -> str:
    """Return the hash of what activations depend on; empty if it is not known.

    Which layers and timesteps are extracted is not part of it.

    Parameters
    ----------
    config
        Configuration of a run.
    recording
        Selected part of its recording.
    device
        Device of the model.
    """
    weights = weights_identity(config)
    if not weights or not recording.sha256 or config.ms_per_timestep is not None:
        return ""
    stimuli = recording.stimuli
    return _hash(
        {
            "weights": weights,
            "recording": recording.sha256,
            "stimuli": stimuli.ids.tolist(),
            "visual_degrees": stimuli.visual_degrees,
            "duration_ms": stimuli.duration_ms,
            "frame_ms": stimuli.frame_ms,
            "shuffled": config.model_seed if config.shuffle_stimuli else None,
            "presentation": config.presentation,
            "precision": config.precision,
            "device": device,
            "code": code_sha256("models", "activations"),
        }
    )


def recording_identity(recording: Recording) -> str:
    """Return what identifies a recording and how its images were shown, which a sidecar may say."""
    stimuli = recording.stimuli
    shown = (stimuli.visual_degrees, stimuli.duration_ms, stimuli.frame_ms)
    return f"{recording.sha256} {shown}"


def result_key(config: RunConfig, recording: str) -> str:
    """Return the hash of what a result depends on, in which names of files do not matter.

    Parameters
    ----------
    config
        Configuration of one result.
    recording
        Identity of the whole recording.
    """
    from neurofit.analyses.analysis import analysis_of

    run = {name: value for name, value in config.as_attrs().items() if name not in PATHS}
    analysis: Any = config.analysis
    options = analysis.as_attrs() if hasattr(analysis, "as_attrs") else vars(analysis)
    return _hash(
        {
            "numbers": NUMBERS,
            "analysis": analysis_of(analysis).name,
            "config": options,
            "run": run,
            "weights": weights_identity(config) or _names(config),
            "recording": recording,
        }
    )


def _names(config: RunConfig) -> list[str]:
    """Return the names of a model and its weights, and hashes of the files that the name states.

    These are a file of one's own code, or the files in the folder of a network.
    """
    from neurofit.models import find_name

    found = find_name(str(config.model))
    files, weights = _named_files(str(config.model)), Path(str(config.weights))
    return [
        str(found or config.model),
        _sha256(weights) if weights.is_file() else str(weights),
        *(_sha256(file) for file in files if file.is_file()),
    ]


def _named_files(name: str) -> list[Path]:
    """Return the files that the name of a model states: one's own code, or a network's folder."""
    from neurofit.models import MODELS, find_name, model_info

    found = find_name(name)
    if found is None:
        own = name in MODELS and model_info(name).makes_weights
        return [Path(inspect.getsourcefile(MODELS[name]) or "")] if own else []
    if found.runs_code:
        return [Path(found.network.rpartition(":")[0])]
    return sorted(Path(found.network).glob("*")) if found.source == "hf" else []


def _sha256(path: Path) -> str:
    """Return the sha256 of a file, which is read again only after it has changed."""
    status = path.stat()
    return _known_sha256(path, status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=1024)
def _known_sha256(path: Path, *_: int) -> str:
    return sha256_of(path)


def _hash(what: dict[str, Any]) -> str:
    canonical = json.dumps(json.loads(to_json(what)), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
