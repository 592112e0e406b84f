"""A layer may have any name: its files stay in the folders that neurofit has made for them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from neurofit.activations.activations import Activations
from neurofit.activations.extract import extract
from neurofit.activations.grams import GramStore
from neurofit.activations.presentation import Presentation
from neurofit.models import wrap
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet
from neurofit.storage.home import home

NAMES = ("a/b", "a_b", "../../x", "..", "a b\\c", "deep/" * 60)


@pytest.fixture
def stimuli(make_recording: Callable[..., Recording]) -> StimulusSet:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    return replace(make_recording().stimuli, images=images)


class Scaled:
    """A model whose layer number i is i + 1 times the image."""

    name = "scaled"
    layers: tuple[str, ...] = NAMES
    region_layers: Mapping[str, tuple[str, ...]] = {}
    first_timestep: Mapping[str, int] = dict.fromkeys(NAMES, 0)
    ms_per_timestep = 10
    input_size = 8
    mean = std = (1.0, 1.0, 1.0)
    visual_degrees = 8.0
    presentations: Mapping[str, Presentation] = {"neural": Presentation(n_timesteps=1)}

    def unroll(
        self,
        images: Tensor,
        presentation: str | Presentation = "neural",
        *,
        layers: Sequence[str] | None = None,
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        yield 0, {layer: (number + 1) * images for number, layer in enumerate(NAMES)}


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set NEUROFIT_HOME to a folder deep enough that a path out of it is seen."""
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "one" / "two" / "three"))
    return tmp_path


def test_a_module_with_a_slash_in_its_name_can_be_extracted(
    stimuli: StimulusSet, own_folder: Path
) -> None:
    net = nn.Sequential()
    net.add_module("a/b", nn.Conv2d(3, 2, 3))
    model = wrap(net, ["a/b"], input_size=8)
    held = extract(model, stimuli, storage="memory")
    stored = extract(model, stimuli)
    for key in held.blocks:
        np.testing.assert_array_equal(stored.blocks[key], held.blocks[key])


def test_files_of_layers_stay_in_their_folder_and_apart(
    stimuli: StimulusSet, own_folder: Path
) -> None:
    activations = extract(Scaled(), stimuli)
    files = files_below(own_folder)
    assert len(files) == len(NAMES)
    assert {file.parent.parent for file in files} == {home() / "unfinished"}
    images = np.stack([stimuli.images[row] for row in range(6)]).transpose(0, 3, 1, 2)
    expected = images.reshape(6, -1) / 255
    for number, layer in enumerate(NAMES):
        found = activations.blocks[layer, 0]
        np.testing.assert_allclose(found, (number + 1) * expected, rtol=1e-6)


def test_cached_grams_of_layers_stay_in_their_folder_and_apart(
    stimuli: StimulusSet, own_folder: Path
) -> None:
    rng = np.random.default_rng(0)
    blocks = {(layer, 0): rng.standard_normal((6, 20)).astype(np.float32) for layer in NAMES}
    activations = Activations(
        model="scaled",
        stimulus_ids=stimuli.ids,
        blocks=blocks,
        first_timestep=dict.fromkeys(NAMES, 0),
        ms_per_timestep=10,
        n_timesteps=1,
        fingerprint="f" * 64,
    )
    built = [GramStore(activations, [(0, 10)], keep=True).gram(each, [(0, 10)]) for each in NAMES]
    files = files_below(own_folder)
    assert len(files) == len(NAMES)
    assert {file.parent.parent for file in files} == {home() / "grams"}
    unreadable = replace(activations, blocks=dict.fromkeys(blocks, np.full((6, 20), np.nan)))
    for layer, expected in zip(NAMES, built, strict=True):
        cached = GramStore(unreadable, [(0, 10)], keep=True).gram(layer, [(0, 10)])
        assert expected.dense is not None
        np.testing.assert_array_equal(cached.dense, expected.dense)
        centred = blocks[layer, 0] - blocks[layer, 0].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(expected.dense, centred @ centred.T, atol=1e-4)
