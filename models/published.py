"""Published weights: download a model's TensorFlow checkpoint or .safetensors file, convert it, keep it as our safetensors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from neurofit.download import RemoteFile, fetch_file
from neurofit.errors import NeurofitError, check_option
from neurofit.home import home, sha256_of
from neurofit.models.bundle import bundle_files, find_crc32c, read_bundle
from neurofit.models.catalogue import INFO, MODELS
from neurofit.models.tensorflow import nonzero_decays, state_dict
from neurofit.models.weight_files import check_weights, read_weights, save_weights

BUCKET = "https://convrnnckpts.s3-us-west-1.amazonaws.com"
"""Where Nayebi et al. 2022 publish checkpoints, as MODEL/FILE; see docs/zoo.md, section 9.3."""

FILES = ("model.ckpt.index", "model.ckpt.data-00000-of-00001")


def get_weights(name: str, *, zero_fixed: bool = False) -> Path:
    """Return the path of a model's published weights in NEUROFIT_HOME, downloading and converting them if need be.

    Parameters
    ----------
    name
        Registered name of a published model.
    zero_fixed
        See `convert_checkpoint`.

    Returns
    -------
    Path
        NEUROFIT_HOME/weights/NAME.safetensors, where `create_model(name, pretrained=True)` finds it. The checkpoint is removed.

    Raises
    ------
    NeurofitError
        If there is no such model, it is not published, downloads are off, or the checkpoint is refused.
    MachineError
        If the download fails or the disk is full.

    Notes
    -----
    Their sha256 is not published. Instead the crc32c of every tensor is checked, and the weights keep the sha256 of their source.
    """
    check_option("model", name, MODELS)
    if not INFO[name].is_published:
        published = ", ".join(model for model in MODELS if INFO[model].is_published)
        raise NeurofitError(f"No weights of {name} are published.\nExisting: {published}.")
    path = home() / "weights" / f"{name}.safetensors"
    if path.is_file():
        return path
    url = INFO[name].weights_url
    if url is None:
        find_crc32c()  # refuse before the download, if it is not installed
        index, _ = (_fetch(name, file, f"{BUCKET}/{name}/{file}") for file in FILES)
        with _removed(index.parent):
            convert_checkpoint(index, path, model=name, zero_fixed=zero_fixed)
    else:
        network = MODELS[name](seed=None)  # refuses before the download, if torchvision is not installed
        file = _fetch(name, url.rsplit("/", 1)[1], url)
        with _removed(file.parent):
            _adopt(network, file, path)
    return path


def convert_checkpoint(checkpoint: str | Path, path: str | Path, *, model: str, zero_fixed: bool = False) -> list[str]:
    """Write the weights of a TensorFlow checkpoint as a .safetensors file.

    Its metadata are the model's name, the sha256 of the checkpoint's files, that of the weights, and the names of zeroed variables.

    Parameters
    ----------
    checkpoint
        The prefix that its files share, such as `model.ckpt`, or the path of its `.index`.
    path
        A .safetensors file; one that exists is replaced.
    model
        Registered name.
    zero_fixed
        Take decays as 0 that the reference fixes at 0 and that are another number in the checkpoint, instead of refusing it.

    Returns
    -------
    list[str]
        The variables that were taken as 0.

    Raises
    ------
    NeurofitError
        If the checkpoint is missing, damaged or not one of this model, or the path cannot be written to; nothing is written then.
    """
    network = MODELS[model](seed=None)
    variables = read_bundle(checkpoint)
    network.load_state_dict(state_dict(model, variables, zero_fixed=zero_fixed))
    zeroed = nonzero_decays(model, variables)
    metadata = {"model": model, "source_sha256": json.dumps({file.name: sha256_of(file) for file in bundle_files(checkpoint)})}
    save_weights(network, path, metadata=metadata | ({"zeroed": json.dumps(zeroed)} if zeroed else {}))
    return zeroed


def _fetch(model: str, file: str, url: str) -> Path:
    return fetch_file(RemoteFile(file, url, None), dataset=model, kind="weights")


@contextmanager
def _removed(folder: Path) -> Iterator[None]:
    """Remove a folder of downloads, whether or not they were what they should be."""
    try:
        yield
    finally:
        shutil.rmtree(folder)


def _adopt(network: nn.Module, file: Path, path: Path) -> None:
    """Write the weights of a wrapped module's own .safetensors file as ours."""
    theirs = read_weights(file)[0]
    ours = network.state_dict()
    # Batch norm's counters are not used after training, and some files lack them.
    weights = {name: values for name, values in ours.items() if name.endswith("num_batches_tracked")}
    weights |= {f"module.{name}": values for name, values in theirs.items()}
    check_weights(ours, weights, source=f"Weights {file}")
    network.load_state_dict(weights)
    save_weights(network, path, metadata={"source_sha256": json.dumps({file.name: sha256_of(file)})})
