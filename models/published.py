"""Download and conversion of published weights (TensorFlow checkpoints or safetensors)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from neurofit.errors import NeurofitError, check_option
from neurofit.models.bundle import bundle_files, find_crc32c, read_bundle
from neurofit.models.catalogue import INFO, MODELS, build_model
from neurofit.models.tensorflow import nonzero_decays, state_dict
from neurofit.models.weight_files import check_weights, read_weights, save_weights
from neurofit.storage.download import RemoteFile, fetch_file
from neurofit.storage.home import cached, exclusive_lock, sha256_of
from neurofit.storage.unfinished import stop_reading

BUCKET = "https://convrnnckpts.s3-us-west-1.amazonaws.com"
"""Address of the checkpoints of Nayebi et al. 2022, MODEL/FILE; see docs/zoo.md, section 9.3."""

FILES = ("model.ckpt.index", "model.ckpt.data-00000-of-00001")


def get_weights(name: str, *, zero_fixed: bool = False) -> Path:
    """Return the path of published weights, after downloading and converting them if necessary.

    Parameters
    ----------
    name
        Registered name of a published model.
    zero_fixed
        See `convert_checkpoint`.

    Returns
    -------
    Path
        NEUROFIT_HOME/weights/NAME.safetensors, which `create_model(name)` loads.
        The downloaded file is removed.

    Raises
    ------
    NeurofitError
        If there is no such model, its weights are not published, downloads are disabled, or the
        checkpoint is invalid.
    MachineError
        If the download fails or the disk is full.

    Notes
    -----
    The authors publish no sha256. The crc32c of every tensor is checked instead, and the sha256 of
    the source is stored with the weights.
    """
    check_option("model", name, MODELS)
    if not INFO[name].is_published:
        published = ", ".join(model for model in MODELS if INFO[model].is_published)
        raise NeurofitError(f"No weights of {name} are published.\nPublished: {published}.")
    path = cached("weights", f"{name}.safetensors")
    if not path.is_file():
        with exclusive_lock(path.with_suffix(".claim")):
            if not path.is_file():  # another process may have made it in the meantime
                _get(name, path, zero_fixed=zero_fixed)
    return path


def _get(name: str, path: Path, *, zero_fixed: bool) -> None:
    """Download weights and write them to a path in neurofit's form."""
    url = INFO[name].weights_url
    if url is None:
        find_crc32c()  # fail before the download
        index, _ = (_fetch(name, file, f"{BUCKET}/{name}/{file}") for file in FILES)
        with _remove_afterwards(index.parent):
            convert_checkpoint(index, path, model=name, zero_fixed=zero_fixed)
    else:
        network = build_model(name, seed=None)  # without torchvision, fail before the download
        file = _fetch(name, url.rsplit("/", 1)[1], url)
        with _remove_afterwards(file.parent):
            _convert_safetensors(network, file, path)


def convert_checkpoint(
    checkpoint: str | Path, path: str | Path, *, model: str, zero_fixed: bool = False
) -> list[str]:
    """Convert a TensorFlow checkpoint to a .safetensors file.

    The metadata of the file contain the name of the model, the sha256 of the checkpoint's files and
    of the weights, and the names of variables set to 0.

    Parameters
    ----------
    checkpoint
        Common prefix of the checkpoint's files, such as `model.ckpt`, or the path of its `.index`.
    path
        Path of the .safetensors file; an existing file is replaced.
    model
        Registered name of the model.
    zero_fixed
        Whether to set decays to 0 that the reference fixes at 0, even if the checkpoint stores
        other values. Otherwise such a checkpoint is an error.

    Returns
    -------
    list[str]
        Variables that were set to 0.

    Raises
    ------
    NeurofitError
        If the checkpoint is missing, damaged or one of another model, or the file cannot be
        written; no file is written then.
    """
    network = build_model(model, seed=None)
    variables = read_bundle(checkpoint)
    network.load_state_dict(state_dict(model, variables, zero_fixed=zero_fixed))
    zeroed = nonzero_decays(model, variables)
    metadata = {
        "model": model,
        "source_sha256": json.dumps(
            {file.name: sha256_of(file) for file in bundle_files(checkpoint)}
        ),
    }
    save_weights(
        network, path, metadata=metadata | ({"zeroed": json.dumps(zeroed)} if zeroed else {})
    )
    return zeroed


def _fetch(model: str, file: str, url: str) -> Path:
    return fetch_file(RemoteFile(file, url, None), dataset=model, kind="weights")


@contextmanager
def _remove_afterwards(folder: Path) -> Iterator[None]:
    try:
        yield
    finally:
        stop_reading(folder)
        shutil.rmtree(folder)


def _convert_safetensors(network: nn.Module, file: Path, path: Path) -> None:
    """Write weights of a torch module as weights of the model that wraps it."""
    expected = network.state_dict()
    # The counters of batch norm are used in training only, and some files lack them.
    weights = {
        name: values for name, values in expected.items() if name.endswith("num_batches_tracked")
    }
    weights |= {f"module.{name}": values for name, values in read_weights(file)[0].items()}
    check_weights(expected, weights, source=f"Weights {file}")
    network.load_state_dict(weights)
    save_weights(
        network, path, metadata={"source_sha256": json.dumps({file.name: sha256_of(file)})}
    )
