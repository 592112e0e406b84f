"""Vision models of transformers, from a folder or from the cache of the Hub."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import neurofit
from neurofit.errors import NeurofitError, NeurofitWarning


def test_features_of_a_folder_are_those_of_transformers(
    transformers: Any, vit_folder: Path
) -> None:
    model = neurofit.create_model(f"hf:{vit_folder}")
    assert model.weights_origin == "trained weights"
    assert (model.mean, model.std) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    assert (model.input_size, model.interpolation) == (32, "bicubic")
    net = transformers.ViTForImageClassification.from_pretrained(vit_folder).eval()
    shown = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        ((_, found),) = model.unroll(shown)
        expected = net((shown - model.image_mean) / model.image_std, output_hidden_states=True)
    blocks = [layer for layer in model.layers if layer.rpartition(".")[2].isdigit()]
    assert len(blocks) == 3
    for layer, maps in zip(blocks, expected.hidden_states[1:], strict=True):
        torch.testing.assert_close(found[layer], maps)
    torch.testing.assert_close(model(shown), expected.logits)
    assert model.provenance["architecture"] == "ViTForImageClassification"


def test_a_model_of_the_hub_is_found_in_its_cache(
    vit_folder: Path, hub: Callable[[str, str], Path]
) -> None:
    with pytest.raises(NeurofitError, match=r"config.json of us/vit is not in the cache of the H"):
        neurofit.create_model("hf:us/vit")
    shutil.copytree(vit_folder, hub("us/vit", "").parent / ("a" * 40), dirs_exist_ok=True)
    model = neurofit.create_model("hf:us/vit")
    assert model.mean == (0.4, 0.5, 0.6)
    shown = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(model(shown), neurofit.create_model(f"hf:{vit_folder}")(shown))


def test_weights_that_are_missing_or_pickled_are_an_error(vit_folder: Path) -> None:
    file = vit_folder / "model.safetensors"
    weights = load_file(file)
    del weights["classifier.bias"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(NeurofitError, match=r"lacks 1 weights of .*: classifier.bias"):
        neurofit.create_model(f"hf:{vit_folder}")
    file.unlink()
    with pytest.raises(NeurofitError, match=r"has no model.safetensors: .*--weights random"):
        neurofit.create_model(f"hf:{vit_folder}")
    (vit_folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(NeurofitError, match=r"are a pickle .*pytorch_model.bin"):
        neurofit.create_model(f"hf:{vit_folder}")
    model = neurofit.create_model(f"hf:{vit_folder}", weights="random", seed=4)
    assert model.weights_origin == "random weights, seed 4"


def test_an_undeclared_preprocessing_is_warned_of(vit_folder: Path) -> None:
    (vit_folder / "preprocessor_config.json").unlink()
    with pytest.warns(NeurofitWarning, match=r"has no preprocessor_config.json: images are norm"):
        model = neurofit.create_model(f"hf:{vit_folder}")
    assert model.mean == (0.485, 0.456, 0.406)
    assert model.provenance["preprocessing"] == "none declared: that of ImageNet"


def test_the_vision_part_is_taken_of_a_model_of_images_and_text(
    transformers: Any, tmp_path: Path
) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = transformers.CLIPVisionConfig(image_size=32, patch_size=8, **small)
    config = transformers.CLIPConfig(
        vision_config=vision.to_dict(), text_config=transformers.CLIPTextConfig(**small).to_dict()
    )
    net = transformers.CLIPModel(config).eval()
    net.save_pretrained(tmp_path / "clip")
    transformers.CLIPImageProcessor(
        size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(tmp_path / "clip")
    layers = ["encoder.layers.1"]
    model = neurofit.create_model(f"hf:{tmp_path / 'clip'}?tokens=class", layers=layers)
    assert model.provenance["architecture"] == "CLIPModel.vision_model"
    assert model.provenance["preprocessing"]["crop"] == 32 / 36
    shown = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        ((_, found),) = model.unroll(shown)
        normalised = (shown - model.image_mean) / model.image_std
        expected = net.vision_model(pixel_values=normalised, output_hidden_states=True)
    torch.testing.assert_close(found["encoder.layers.1"], expected.hidden_states[2][:, 0])


def test_what_is_no_vision_model_is_refused(transformers: Any, tmp_path: Path) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    transformers.BertModel(transformers.BertConfig(**small)).save_pretrained(tmp_path / "bert")
    for name, message in (
        (f"hf:{tmp_path / 'bert'}", r"takes input_ids, not images"),
        (f"hf:{tmp_path / 'nothing'}", r"takes OWNER/NAME or a folder; there is no folder"),
        (f"hf:{tmp_path}", r"has no config.json"),
    ):
        with pytest.raises(NeurofitError, match=message):
            neurofit.create_model(name, weights="random")
