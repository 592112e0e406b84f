"""Published weights are downloaded or copied from a mirror, and converted with their source."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from neurofit.errors import MachineError, NeurofitError
from neurofit.models import create_model, load_weights, model_info, weights_sha256
from neurofit.models import published as module
from neurofit.models.published import FILES, convert_checkpoint, get_weights
from neurofit.storage.home import home, sha256_of

Write = Callable[..., Path]
NAME = "timedecay_shallow"  # the smallest


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NEUROFIT_MIRROR", raising=False)
    monkeypatch.delenv("NEUROFIT_OFFLINE", raising=False)


@pytest.fixture(scope="session")
def variables() -> dict[str, npt.NDArray[Any]]:
    """Return variables of timedecay_shallow, including the optimiser's.

    Names and shapes: docs/zoo.md, section 9.1.
    """
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "imnetds/pre_1/weights": (2, 2, 512, 1000),
        "imnetds/pre_1/bias": (1000,),
    }
    for number, (kernel, inputs, outputs) in enumerate(
        [(7, 3, 64), (3, 64, 128), (3, 128, 256), (3, 256, 256), (3, 256, 512)], start=1
    ):
        shapes |= {
            f"conv{number}/pre_0/weights_basenet": (kernel, kernel, inputs, outputs),
            f"conv{number}/pre_0/bias": (outputs,),
        }
    decays = {"conv1": 0.0, "conv2": 0.0, "conv3": 0.3, "conv4": 0.4, "conv5": 0.5, "imnetds": 0.0}
    found = {
        f"tnn_model/{name}": rng.standard_normal(shape, dtype=np.float32) / 100
        for name, shape in shapes.items()
    }
    found |= {
        f"tnn_model/{layer}/memory_decay": np.array([decay], np.float32)
        for layer, decay in decays.items()
    }
    slots = {
        f"{name}/Momentum": np.zeros_like(values)
        for name, values in found.items()
        if values.ndim == 1
    }
    return found | slots | {"global_step": np.array(10)}


@pytest.fixture(scope="session")
def checkpoints(
    tmp_path_factory: pytest.TempPathFactory,
    write_bundle: Write,
    variables: dict[str, npt.NDArray[Any]],
) -> Path:
    """Return a folder with the layout of the bucket and of a mirror."""
    folder = tmp_path_factory.mktemp("bucket")
    write_bundle(folder / NAME / "model.ckpt", variables)
    return folder


@pytest.fixture
def mirror_folder(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(checkpoints, tmp_path / "mirror")
    monkeypatch.setenv("NEUROFIT_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("NEUROFIT_OFFLINE", "1")
    return tmp_path / "mirror"


def stored_files() -> list[str]:
    return sorted(str(path.relative_to(home())) for path in home().rglob("*") if path.is_file())


def test_converted_weights_record_their_source(
    checkpoints: Path, variables: dict[str, npt.NDArray[Any]], tmp_path: Path
) -> None:
    path = tmp_path / "new" / "w.safetensors"
    assert convert_checkpoint(checkpoints / NAME / "model.ckpt", path, model=NAME) == []
    model = create_model(NAME, weights="random", seed=1)
    metadata = load_weights(model, path)
    assert metadata["weights_sha256"] == weights_sha256(model)
    assert metadata["model"] == NAME
    assert json.loads(metadata["source_sha256"]) == {
        file: sha256_of(checkpoints / NAME / file) for file in FILES
    }
    assert "zeroed" not in metadata
    weights = model.state_dict()
    np.testing.assert_array_equal(weights["net.conv4.cell.decay"], np.array([0.4], np.float32))
    kernel = variables["tnn_model/conv5/pre_0/weights_basenet"]
    np.testing.assert_array_equal(weights["net.conv5.conv.weight"], kernel.transpose(3, 2, 0, 1))


def test_fixed_decays_are_zeroed_only_when_asked_and_recorded(
    write_bundle: Write, variables: dict[str, npt.NDArray[Any]], tmp_path: Path
) -> None:
    name = "tnn_model/conv2/memory_decay"
    index = write_bundle(tmp_path / "model.ckpt", variables | {name: np.array([1e-3], np.float32)})
    path = tmp_path / "w.safetensors"
    with pytest.raises(
        NeurofitError,
        match=rf"{NAME} fixes the decays of layers without memory at 0; got {name} 0.001\.\n",
    ):
        convert_checkpoint(index, path, model=NAME)
    assert not path.exists()
    assert convert_checkpoint(index, path, model=NAME, zero_fixed=True) == [name]
    assert json.loads(load_weights(create_model(NAME, weights="random"), path)["zeroed"]) == [name]


def test_the_checkpoint_of_another_model_is_refused_and_nothing_is_written(
    checkpoints: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        NeurofitError,
        match=r"not those of simplernn_shallow: 18 missing "
        r"\(tnn_model/conv3/ConvNormBasicCell/i/bias",
    ):
        convert_checkpoint(
            checkpoints / NAME / "model.ckpt", tmp_path / "w.safetensors", model="simplernn_shallow"
        )
    with pytest.raises(NeurofitError, match="Did you mean 'rgc_shallow'"):
        convert_checkpoint(
            checkpoints / NAME / "model.ckpt", tmp_path / "w.safetensors", model="rgc_shalow"
        )
    assert not list(tmp_path.iterdir())


def test_weights_from_a_mirror_are_found_afterwards(mirror_folder: Path) -> None:
    assert not model_info(NAME).has_weights
    with pytest.raises(
        NeurofitError,
        match=f"weights of {NAME} are not downloaded. Run: neurofit weights get {NAME}\nOr ask for "
        "random weights by --weights random",
    ):
        create_model(NAME)
    assert create_model(NAME, weights="random").weights_origin == "random weights, seed 0"
    for _ in range(2):
        assert (
            get_weights(NAME)
            == home() / "weights" / f"{NAME}.safetensors"
            == model_info(NAME).weights
        )
        assert stored_files() == [f"weights/{NAME}.safetensors"], "the checkpoint is removed"
        shutil.rmtree(mirror_folder, ignore_errors=True)
    model = create_model(NAME)
    assert model.weights_origin == "trained weights"
    decay = model.state_dict()["net.conv3.cell.decay"]
    np.testing.assert_array_equal(decay, np.array([0.3], np.float32))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_checkpoint_is_refused_and_no_weights_remain(
    mirror_folder: Path, file: str, damage: str
) -> None:
    path = mirror_folder / NAME / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flipped" else path.read_bytes()[:-100])
    with pytest.raises(
        NeurofitError, match="downloads are off" if damage == "missing" else "damaged"
    ) as caught:
        get_weights(NAME)
    assert file in str(caught.value)
    assert not any(name.endswith(".safetensors") for name in stored_files())
    if damage != "missing":
        assert stored_files() == []


def test_offline_without_a_mirror_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFIT_OFFLINE", "1")
    with pytest.raises(
        NeurofitError, match=rf"model.ckpt.index of {NAME} is not at .*, and downloads are off"
    ):
        get_weights(NAME)
    assert stored_files() == []


def test_only_published_models_have_weights_to_get() -> None:
    with pytest.raises(
        NeurofitError, match=r"No weights of rgc_tiny are published\.\nPublished: .*rgc_shallow"
    ):
        get_weights("rgc_tiny")
    with pytest.raises(NeurofitError, match="Did you mean 'rgc_shallow'"):
        get_weights("rgc_shalow")


def test_the_package_for_checksums_is_required_before_the_download(
    mirror_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(NeurofitError, match="pip install"):
        get_weights(NAME)
    assert stored_files() == []


@pytest.fixture
def address(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the checkpoints at a local address instead of the bucket."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(checkpoints))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(module, "BUCKET", f"http://127.0.0.1:{server.server_port}")
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_weights_are_downloaded_from_the_bucket(address: str) -> None:
    get_weights(NAME)
    assert stored_files() == [f"weights/{NAME}.safetensors"]
    with pytest.raises(
        MachineError, match=f"Cannot download {address}/rgc_shallow/model.ckpt.index"
    ):
        get_weights("rgc_shallow")


def test_a_checkpoint_of_tensorflow_gives_the_logits_of_tensorflow(
    shared: Callable[[str], Path], golden_images: Tensor, tmp_path: Path
) -> None:
    name = "simplernn_shallow"
    checkpoint, path = shared(f"golden/ckpt/{name}") / "model.ckpt", tmp_path / "w.safetensors"
    # Fixed decays differ from 0 in this file, see docs/zoo.md, section 11.1.
    with pytest.raises(
        NeurofitError,
        match=r"at 0; got tnn_model/conv1/memory_decay [^,]+, tnn_model/conv2/memory_decay [^,]+, "
        r"tnn_model/imnetds/memory_decay [^,]+\.\n",
    ):
        convert_checkpoint(checkpoint, path, model=name)
    assert not path.exists()
    zeroed = convert_checkpoint(checkpoint, path, model=name, zero_fixed=True)
    assert zeroed == [f"tnn_model/{layer}/memory_decay" for layer in ("conv1", "conv2", "imnetds")]
    with torch.no_grad(), np.load(shared(f"golden/{name}__default__seed0.npz")) as golden:
        logits = create_model(name, weights=path)(golden_images).numpy()
        assert np.abs(logits - golden["logits"]).max() / np.abs(golden["logits"]).max() < 2e-5
