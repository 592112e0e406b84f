"""Vision models of transformers: `hf:OWNER/NAME` on the Hugging Face Hub, or `hf:FOLDER`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from neurofit.errors import NeurofitError, NeurofitWarning, some_of
from neurofit.models.sources.contract import (
    Network,
    Preprocessing,
    describe_package,
    import_extra,
    translate,
)
from neurofit.models.sources.files import download, refuse_pickle
from neurofit.storage.home import sha256_of

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
RESAMPLE = {0: "bilinear", 1: "bicubic", 2: "bilinear", 3: "bicubic"}
"""Number of a Pillow filter (nearest, Lanczos, bilinear, bicubic) -> interpolation."""


def find_weights(name: str, options: Mapping[str, Any]) -> Path | None:
    """Return the safetensors file in a folder or of a repository, downloaded if necessary."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        _folder(name, options)  # the configuration first: it says whether the name is right
        return download(name, WEIGHTS, revision=options.get("revision"))
    for file in (WEIGHTS, INDEX):
        if (folder / file).is_file():
            return folder / file
    if (pickle := folder / "pytorch_model.bin").is_file():
        raise refuse_pickle(f"The weights in {folder}", str(pickle))
    raise NeurofitError(
        f"{folder} has no {WEIGHTS}: save the model with save_pretrained, or give --weights FILE "
        "or --weights random."
    )


def build(name: str, options: Mapping[str, Any], weights: Path | None) -> Network:
    """Return a vision model of transformers."""
    transformers = import_extra("transformers", extra="hf")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder = _folder(name, options)
    given = {key: value for key, value in options.items() if key != "revision"}
    if "n_classes" in given:
        given["num_labels"] = given.pop("n_classes")
    with translate(f"hf:{name}"):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, **given)
        architecture = (config.architectures or ["AutoModel"])[0]
        kind = getattr(transformers, architecture, transformers.AutoModel)
        if weights is None:
            make = getattr(kind, "from_config", kind._from_config)
            module = make(config)
        else:
            module, loading = kind.from_pretrained(
                weights.parent,
                config=config,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
            if lacking := sorted({*map(str, loading["missing_keys"])}):
                raise NeurofitError(
                    f"{weights} lacks {len(lacking)} weights of {architecture}: "
                    f"{some_of(lacking, most=3)}."
                )
    module, part = _vision_part(module.float(), name)
    return Network(
        module=module,
        preprocessing=_preprocessing(folder, config),
        call=_call,
        provenance={
            **describe_package("transformers"),
            "architecture": architecture + part,
            "config_sha256": sha256_of(folder / CONFIG),
        },
    )


def _folder(name: str, options: Mapping[str, Any]) -> Path:
    """Return the folder of a model's configuration, downloaded if necessary."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / CONFIG).is_file():
            raise NeurofitError(f"{folder} has no {CONFIG}: save the model with save_pretrained.")
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise NeurofitError(f"hf: takes OWNER/NAME or a folder; there is no folder {name}.")
    revision = options.get("revision")
    config = download(name, CONFIG, revision=revision)
    try:
        download(name, PROCESSOR, revision=revision)
    except NeurofitError as error:
        if "has no" not in str(error):
            raise
    return config.parent


def _vision_part(module: Any, name: str) -> tuple[nn.Module, str]:
    """Return the part of a model that takes images, and its name with a dot."""
    if getattr(module, "main_input_name", "") == "pixel_values":
        return module, ""
    part = getattr(module, "vision_model", None)
    if getattr(part, "main_input_name", "") == "pixel_values":
        return part, ".vision_model"  # type: ignore[return-value]
    raise NeurofitError(
        f"hf:{name} takes {getattr(module, 'main_input_name', 'other inputs')}, not images "
        "(pixel_values)."
    )


def _preprocessing(folder: Path, config: Any) -> Preprocessing:
    config = getattr(config, "vision_config", config)
    own = getattr(config, "image_size", 224)
    size = int(own[-1] if isinstance(own, list | tuple) else own)
    if not (folder / PROCESSOR).is_file():
        warnings.warn(
            f"{folder} has no {PROCESSOR}: images are normalised as usual for ImageNet.",
            NeurofitWarning,
            stacklevel=3,
        )
        return Preprocessing(input_size=size)
    stated = json.loads((folder / PROCESSOR).read_text(encoding="utf-8"))
    resized, cropped = (_edge(stated.get(key)) for key in ("size", "crop_size"))
    normalised = stated.get("do_normalize", True)
    crops = cropped if stated.get("do_center_crop", cropped is not None) else None
    final = crops or resized or size
    return Preprocessing(
        input_size=final,
        mean=tuple(stated.get("image_mean", (0.5,) * 3)) if normalised else (0.0,) * 3,
        std=tuple(stated.get("image_std", (0.5,) * 3)) if normalised else (1.0,) * 3,
        interpolation=RESAMPLE.get(stated.get("resample", 2), "bilinear"),
        crop=crops / resized if crops and resized else 1.0,
        declared=True,
    )


def _edge(size: Any) -> int | None:
    """Return n of {"height": n, "width": n}, of {"shortest_edge": n} or of n; None of nothing."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge", size.get("width"))
    return int(size) if size else None


def _call(module: nn.Module, images: Tensor) -> object:
    return module(pixel_values=images)
