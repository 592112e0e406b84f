"""Words that tell one result from another, for the name of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofit.analyses.analysis import analysis_of
from neurofit.config.options import options_of
from neurofit.storage.home import sha256_of

if TYPE_CHECKING:
    from neurofit.analyses.run import RunConfig
    from neurofit.recordings.recording import Recording

UNNAMED = ("model", "recording", "images", "baselines")
"""Options of a run that are not words of their own: named first, or without effect on numbers."""


def folder_words(config: RunConfig, recording: Recording, *, untrained: bool = False) -> list[str]:
    """Return the model, the region and the recording, then every choice that changes the numbers.

    Choices at their default are left out, except the mapping.

    Parameters
    ----------
    config
        Configuration of one result.
    recording
        The selected part of the recording.
    untrained
        Whether no trained weights were found for `weights="auto"`.
    """
    analysis = analysis_of(config.analysis)
    name = str(config.recording)
    if Path(name).exists():
        name = f"{Path(name).stem}-{recording.sha256[:8]}"
    region = "+".join(recording.regions)
    from neurofit.models import find_name  # models take time to import

    model = str(config.model)
    words = [word for word in (str(find_name(model) or model), region, name) if word]
    if analysis.name != "score":
        words.insert(0, analysis.name)
    own: Any = config.analysis
    make = getattr(type(own), "from_options", type(own))
    default = make(preset=own.preset) if hasattr(type(own), "from_options") else make()
    each: Any
    if hasattr(own, "mapping_names") and "mapping" not in {one.name for one in options_of(own)}:
        words += _mapping_words(own)
    for each, usual in ((own, default), (config, type(config)())):
        for field_ in options_of(each):
            key, value = field_.name, getattr(each, field_.name)
            if key == "mapping" and hasattr(each, "mapping_names"):
                words += _mapping_words(own)
            elif key == "preset" and each is own and hasattr(type(own), "from_options"):
                words += [value] * (value != type(own)().preset)
            elif key not in UNNAMED and value != getattr(usual, key):
                words.append(_word(key, value))
    if untrained and config.weights == "auto":
        words.append("untrained")
    for key, value in recording.selection.items():
        if key not in ("dropped_neuroids", "excluded_trials"):
            words.append(_word(key, value))
    return words


def _mapping_words(config: Any) -> list[str]:
    """Return the names of the mappings, and each of their options that is not at its default."""
    words = ["+".join(config.mapping_names)]
    for name, mapping in zip(config.mapping_names, config.mappings, strict=True):
        for each in options_of(mapping) if is_dataclass(mapping) else ():
            value = getattr(mapping, each.name)
            if value != each.default:
                words.append(_word(f"{name}_{each.name}", value))
    return words


def _word(key: str, value: Any) -> str:
    """Return "key=value" for the name of a folder; a file is named by its stem and its content."""
    if value is True:
        return key
    is_path = key in ("stimuli", "weights") and isinstance(value, str | Path)
    if is_path and "=" not in str(value) and Path(value).is_file():
        return f"{key}={Path(value).stem}-{sha256_of(Path(value))[:8]}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = "+".join("-".join(map(str, v)) if isinstance(v, list) else str(v) for v in value)
    return f"{key}={value}"
