"""Weights are restored exactly, or refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from neurofit.errors import NeurofitError
from neurofit.models import ConvRNN, create_model, load_weights, save_weights, weights_sha256


@pytest.fixture
def model() -> ConvRNN:
    made: ConvRNN = create_model("timedecay_tiny", weights="random", seed=1)
    return made


@pytest.fixture
def file(model: ConvRNN, tmp_path: Path) -> Path:
    save_weights(model, tmp_path / "w.safetensors", metadata={"epoch": "3"})
    return tmp_path / "w.safetensors"


def changed(file: Path, **tensors: torch.Tensor | None) -> Path:
    weights = {**load_file(file), **tensors}
    save_file({name: tensor for name, tensor in weights.items() if tensor is not None}, file)
    return file


def test_weights_and_metadata_are_restored(model: ConvRNN, file: Path) -> None:
    other = create_model("timedecay_tiny", weights="random", seed=2)
    metadata = load_weights(other, file)
    assert weights_sha256(other) == weights_sha256(model) == metadata["weights_sha256"]
    assert metadata["epoch"] == "3"


def test_saving_leaves_only_the_file(file: Path) -> None:
    assert [path.name for path in file.parent.iterdir()] == ["w.safetensors"]


def test_the_hash_depends_on_values_names_and_shapes() -> None:
    values = torch.arange(6.0)
    modules = [
        torch.nn.ParameterDict({name: torch.nn.Parameter(v)})
        for name, v in (("a", values), ("b", values), ("a", values.view(2, 3)))
    ]
    assert len({weights_sha256(module) for module in modules}) == 3
    negative_zero = torch.nn.ParameterDict(
        {"a": torch.nn.Parameter(torch.cat([-values[:1], values[1:]]))}
    )
    assert weights_sha256(negative_zero) != weights_sha256(modules[0])


def test_the_hash_does_not_depend_on_how_the_weights_lie_in_memory() -> None:
    model = create_model("rgc_tiny", weights="random")
    before = weights_sha256(model)
    assert weights_sha256(model.to(memory_format=torch.channels_last)) == before


def test_a_missing_weight_is_named(model: ConvRNN, file: Path) -> None:
    changed(file, **{"net.conv3.cell.decay": None})
    with pytest.raises(
        NeurofitError, match=r"do not fit the model: 1 missing \(net.conv3.cell.decay\)\.$"
    ):
        load_weights(model, file)


def test_an_unexpected_weight_is_named(model: ConvRNN, file: Path) -> None:
    changed(file, extra=torch.zeros(1))
    with pytest.raises(NeurofitError, match=r"1 unexpected \(extra\)"):
        load_weights(model, file)


def test_a_weight_of_another_shape_is_named_and_nothing_is_loaded(
    model: ConvRNN, file: Path
) -> None:
    before = weights_sha256(model)
    changed(
        file,
        **{"net.imnetds.conv.bias": torch.zeros(3), "net.conv1.conv.bias": torch.full((32,), 9.0)},
    )
    with pytest.raises(
        NeurofitError, match=r"1 of another shape \(net.imnetds.conv.bias \(3,\), not \(10,\)\)"
    ):
        load_weights(model, file)
    assert weights_sha256(model) == before


def test_many_deviations_are_counted(file: Path) -> None:
    with pytest.raises(NeurofitError, match=r"12 missing \(.* and 9 more\); 3 unexpected") as error:
        load_weights(create_model("rgc_tiny", weights="random"), file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("length", [0, 5, 1000])
def test_a_truncated_file_is_refused(model: ConvRNN, file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(NeurofitError, match="is damaged or not a safetensors file"):
        load_weights(model, file)


def test_a_flipped_bit_is_refused(model: ConvRNN, file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(NeurofitError, match="do not match the sha256 stored with them"):
        load_weights(model, file)


def test_a_missing_file_is_named(model: ConvRNN, tmp_path: Path) -> None:
    with pytest.raises(NeurofitError, match=r"Weights file not found: .*nowhere.safetensors"):
        load_weights(model, tmp_path / "nowhere.safetensors")
    with pytest.raises(NeurofitError, match="Weights file not found"):
        load_weights(model, tmp_path)


def test_a_folder_that_cannot_be_written_to_is_refused(model: ConvRNN, tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("")
    with pytest.raises(NeurofitError, match="Cannot write"):
        save_weights(model, tmp_path / "occupied" / "w.safetensors")


def test_a_pickle_is_not_loaded_and_the_line_that_converts_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = create_model("lstm_tiny", weights="random", seed=5)
    for legacy in (False, True):
        path = Path(f"w{legacy}.pt")
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(NeurofitError) as error:
            create_model("lstm_tiny", weights=path)
        refused, repair = str(error.value).splitlines()
        assert refused == f"{path} is a pickle, which is not loaded: it can run code."
        line = repair.partition("in Python: ")[2]
        run = [sys.executable, "-c", f"import torch, safetensors.torch; {line}"]
        subprocess.run(run, check=True)
        restored = create_model("lstm_tiny", weights=path.with_suffix(".safetensors"))
        assert weights_sha256(restored) == weights_sha256(model)


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.system, (f"touch {tmp_path / 'run'}",))

    torch.save({"weight": Runs()}, tmp_path / "w.pt")
    with pytest.raises(NeurofitError, match="is a pickle, which is not loaded"):
        create_model("lstm_tiny", weights=tmp_path / "w.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]
