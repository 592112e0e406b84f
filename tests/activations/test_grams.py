"""Grams are computed once for the same features and cached by everything that changes them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurofit.activations import grams as module
from neurofit.activations.activations import Activations
from neurofit.activations.extract import extract, extract_lazily
from neurofit.activations.grams import GramStore
from neurofit.activations.presentation import Presentation
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.score import score
from neurofit.config.compute import Compute
from neurofit.errors import NeurofitWarning
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.reduce import Reduction
from neurofit.models import create_model, wrap
from neurofit.recordings.recording import Recording
from neurofit.storage.home import home

BINS = [(70, 80), (80, 90), (90, 100), (95, 105)]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))


@pytest.fixture
def recording(make_recording: Callable[..., Recording]) -> Recording:
    made = make_recording(n_stimuli=60, n_neuroids=4, n_bins=3, regions=("V4",))
    noise = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    return replace(made, stimuli=replace(made.stimuli, images=noise))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the name of every Gram that is built."""
    names: list[str] = []
    build = gram_of

    def noted(blocks: Any, **options: Any) -> Any:
        names.append(options["name"])
        return build(blocks, **options)

    monkeypatch.setattr(module, "gram_of", noted)
    return names


def lazily(recording: Recording, **options: Any) -> Activations:
    model = options.pop("model", None) or create_model(
        "rgc_tiny", weights="random", input_size=32, seed=options.pop("seed", 0)
    )
    return extract_lazily(
        model, recording.stimuli, layers=["conv3", "conv5"], time_bins=BINS, **options
    )


CONFIG = ScoreConfig(
    mapping="ridge", layers=("conv3", "conv5"), n_splits=3, n_halves=2, n_bootstraps=5
)


class Net(nn.Module):
    """A static net, whose features are the same in every bin."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 5, stride=3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images)  # type: ignore[no-any-return]


def test_a_static_layer_has_one_gram_for_all_bins(recording: Recording, built: list[str]) -> None:
    activations = extract(wrap(Net(), ["conv"], input_size=32), recording.stimuli, time_bins=BINS)
    found = GramStore(activations, BINS)
    first, *others = (found.gram("conv", [time_bin]) for time_bin in BINS)
    assert all(other is first for other in others)
    assert len(built) == 1
    values = activations.blocks["conv", 7] - activations.blocks["conv", 7].mean(
        axis=0, dtype=np.float64
    )
    assert first.dense is not None
    np.testing.assert_allclose(first.dense, values @ values.T, rtol=1e-5, atol=1e-6)


def test_layers_that_change_have_a_gram_per_bin(recording: Recording, built: list[str]) -> None:
    activations = extract(
        create_model("rgc_tiny", weights="random", input_size=32),
        recording.stimuli,
        layers=["conv3"],
        time_bins=BINS,
    )
    found = GramStore(activations, BINS)
    # All are held: an object that is gone leaves its id to the next.
    held = [found.gram("conv3", [time_bin]) for time_bin in BINS]
    assert len({id(gram) for gram in held}) == 4
    assert built == [f"rgc_tiny, conv3 at {start}-{end} ms" for start, end in BINS]


def test_kept_grams_give_the_same_score_without_a_single_image(
    recording: Recording, built: list[str]
) -> None:
    plain = score(
        extract(
            create_model("rgc_tiny", weights="random", input_size=32),
            recording.stimuli,
            layers=["conv3", "conv5"],
        ),
        recording,
        CONFIG,
    )
    first = score(lazily(recording), recording, CONFIG, compute=Compute(keep_grams=True))
    assert len(list((home() / "grams").rglob("*.safetensors"))) == 6  # two layers, three bins
    built.clear()
    shown: list[int] = []
    again = score(
        lazily(recording, progress=lambda label, done, total: shown.append(done)),
        recording,
        CONFIG,
        compute=Compute(keep_grams=True),
    )
    assert (shown, built) == ([], [])
    for name in plain.data_vars:
        np.testing.assert_array_equal(first[name].values, plain[name].values)
        np.testing.assert_array_equal(again[name].values, plain[name].values)
    other = score(
        lazily(recording),
        recording,
        replace(CONFIG, mapping="pls", gram_precision="float64"),
        compute=Compute(keep_grams=True),
    )
    assert json.loads(other.attrs["config"])["mapping"]["name"] == "pls"


def test_without_the_option_nothing_is_kept(recording: Recording) -> None:
    score(lazily(recording), recording, CONFIG)
    assert not (home() / "grams").exists()


def changed(recording: Recording) -> Iterator[tuple[str, Activations]]:
    yield "weights", lazily(recording, seed=1)
    yield "size", lazily(recording, model=create_model("rgc_tiny", weights="random", input_size=40))
    yield (
        "unroll",
        lazily(
            recording,
            model=create_model(
                "rgc_tiny", weights="random", input_size=32, unroll="feedforward-per-step"
            ),
        ),
    )
    yield (
        "presentation",
        lazily(recording, presentation=Presentation(n_timesteps=26, image_off=5)),
    )
    yield "precision", lazily(recording, precision="bfloat16")
    images = np.stack([recording.stimuli.images[row] for row in range(60)])
    images[58, 3, 4, 1] += 1  # not one of the four probes, which are 0, 20, 39 and 59
    yield (
        "a pixel",
        lazily(replace(recording, stimuli=replace(recording.stimuli, images=images))),
    )
    yield (
        "degrees",
        lazily(replace(recording, stimuli=replace(recording.stimuli, visual_degrees=7.0))),
    )
    yield "order", lazily(replace(recording, stimuli=recording.stimuli.shuffled(0)))


def test_everything_that_changes_features_changes_their_fingerprint(recording: Recording) -> None:
    same = {identities(lazily(recording)) for _ in range(2)}
    assert len(same) == 1
    seen = set(same)
    for what, activations in changed(recording):
        assert identities(activations) not in seen, what
        seen.add(identities(activations))


def identities(activations: Activations) -> tuple[str, ...]:
    """Return the identity of every layer in every bin."""
    pairs = itertools.product(activations.layers, BINS)
    return tuple(activations.identity(layer, time_bin) for layer, time_bin in pairs)


def test_the_identity_of_a_bin_does_not_depend_on_what_else_was_extracted(
    recording: Recording,
) -> None:
    model = create_model("rgc_tiny", weights="random", input_size=32)
    every = extract_lazily(model, recording.stimuli)
    some = extract_lazily(model, recording.stimuli, layers=["conv4"], time_bins=BINS[1:2])
    assert some.identity("conv4", BINS[1]) == every.identity("conv4", BINS[1])
    assert len(set(identities(every))) == len(every.layers) * len(BINS)


def test_a_gram_that_was_moved_is_made_anew(recording: Recording, built: list[str]) -> None:
    expected = GramStore(lazily(recording), BINS, keep=True).gram("conv3", [BINS[0]])
    GramStore(lazily(recording), BINS, keep=True).gram("conv3", [BINS[1]])
    first, second = sorted((home() / "grams").rglob("*.safetensors"))
    first.write_bytes(second.read_bytes())
    built.clear()
    found = GramStore(lazily(recording), BINS, keep=True).gram("conv3", [BINS[0]])
    np.testing.assert_array_equal(found.dense, expected.dense)
    assert len(built) == 1


def test_precision_and_reduction_are_part_of_a_grams_name(recording: Recording) -> None:
    activations = lazily(recording)
    kinds: list[dict[str, Any]] = [
        {},
        {"precision": "float64"},
        {"reduction": Reduction("srp:50")},
        {"reduction": Reduction("srp:50", 1)},
    ]
    for n, options in enumerate(kinds, start=1):
        GramStore(activations, BINS, keep=True, **options).gram("conv3", [BINS[0]])
        assert len(list((home() / "grams").rglob("*.safetensors"))) == n


def test_a_damaged_gram_is_made_anew(recording: Recording, built: list[str]) -> None:
    expected = GramStore(lazily(recording), BINS, keep=True).gram("conv3", [BINS[0]])
    (file,) = (home() / "grams").rglob("*.safetensors")
    whole = file.read_bytes()
    for damage in (b"", whole[:-9], b"no gram"):
        file.write_bytes(damage)
        built.clear()
        found = GramStore(lazily(recording), BINS, keep=True).gram("conv3", [BINS[0]])
        np.testing.assert_array_equal(found.dense, expected.dense)
        assert len(built) == 1
        assert len(file.read_bytes()) == len(whole)


def test_several_bins_together_are_not_kept(recording: Recording) -> None:
    stacked = GramStore(lazily(recording), BINS, keep=True).gram("conv5", BINS[:2])
    assert stacked.n_rows == 120
    assert not (home() / "grams").exists()


def test_blocks_that_make_their_arrays_anew_are_not_shared(
    recording: Recording, tmp_path: Path
) -> None:
    activations = extract(
        create_model("rgc_tiny", weights="random", input_size=32),
        recording.stimuli,
        layers=["conv3", "conv5"],
        time_bins=BINS,
    )
    for layer, timestep in activations.blocks:
        np.save(tmp_path / f"{layer}-{timestep}.npy", activations.blocks[layer, timestep])

    class OnDisk:
        def __getitem__(self, key: tuple[str, int], /) -> np.ndarray:
            return np.load(tmp_path / f"{key[0]}-{key[1]}.npy")  # type: ignore[no-any-return]

        def __iter__(self) -> Iterator[tuple[str, int]]:
            return iter(activations.blocks)

        def __len__(self) -> int:
            return len(activations.blocks)

    held, anew = (
        GramStore(activations, BINS),
        GramStore(replace(activations, blocks=OnDisk()), BINS),
    )
    for layer in ("conv3", "conv5"):
        for time_bin in BINS:
            np.testing.assert_array_equal(
                anew.gram(layer, [time_bin]).dense, held.gram(layer, [time_bin]).dense
            )


def test_weights_that_the_probe_does_not_show_change_the_fingerprint(recording: Recording) -> None:
    black = replace(
        recording, stimuli=replace(recording.stimuli, images=np.zeros((60, 32, 32, 3), np.uint8))
    )
    seen = set()
    for scale in (1.0, 2.0):
        model = create_model("rgc_tiny", weights="random", input_size=32)
        with torch.no_grad():
            model.net["imnetds"].conv.bias.fill_(scale)  # not recorded
        seen.add(identities(lazily(black, model=model)))
    assert len(seen) == 2


def test_a_kept_gram_says_what_a_fresh_one_says(recording: Recording) -> None:
    activations = lazily(recording)
    blocks = {key: np.array(activations.blocks[key]) for key in activations.blocks}
    for block in blocks.values():
        block[:, 0] *= 1e6
    uneven = replace(activations, blocks=blocks)
    for _ in range(2):
        found = GramStore(uneven, BINS, keep=True)
        with pytest.warns(NeurofitWarning, match="dominate all others"):
            found.gram("conv3", [BINS[0]])
        assert found.plans["conv3"].storage == "dense"


def test_a_flipped_byte_is_noticed(recording: Recording, built: list[str]) -> None:
    expected = GramStore(lazily(recording), BINS, keep=True).gram("conv3", [BINS[0]])
    (file,) = (home() / "grams").rglob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    built.clear()
    found = GramStore(lazily(recording), BINS, keep=True).gram("conv3", [BINS[0]])
    np.testing.assert_array_equal(found.dense, expected.dense)
    assert len(built) == 1


class Drifting(Net):
    """A net of eight steps, whose features are others at each."""

    def forward(self, images: Tensor) -> Tensor:
        for step in range(8):
            maps: Tensor = self.conv(images + step * images.roll(1, dims=-1))
        return maps


def plain_gram(blocks: list[tuple[float, np.ndarray]]) -> np.ndarray:
    """Return the products of all pairs of rows of a weighted sum of blocks, without its mean."""
    features = np.zeros(blocks[0][1].shape)
    for weight, block in blocks:
        features += weight * block.astype(np.float64)
    features -= features.mean(axis=0)
    return np.asarray(features @ features.T)


def drifting(recording: Recording, *, ms_per_timestep: int) -> Activations:
    model = wrap(Drifting(), ["conv"], input_size=32, ms_per_timestep=ms_per_timestep)
    return extract_lazily(model, recording.stimuli, time_bins=[(0, 30)])


def test_a_kept_gram_is_not_that_of_the_same_timesteps_with_other_weights(
    recording: Recording,
    built: list[str],
) -> None:
    by_ms = {ms: drifting(recording, ms_per_timestep=ms) for ms in (20, 15)}
    assert by_ms[20].fingerprint == by_ms[15].fingerprint  # the same blocks: steps 0 and 1
    for ms, weights in ((20, (2 / 3, 1 / 3)), (15, (1 / 2, 1 / 2))):
        blocks = [(weight, by_ms[ms].blocks["conv", step]) for step, weight in enumerate(weights)]
        found = GramStore(by_ms[ms], [(0, 30)], keep=True).gram("conv", [(0, 30)])
        assert found.dense is not None
        expected = plain_gram(blocks)
        atol = 1e-5 * float(np.abs(expected).max())
        np.testing.assert_allclose(found.dense, expected, rtol=0, atol=atol)
    assert len(built) == 2


def test_bins_that_weigh_the_same_timesteps_differently_share_no_gram(recording: Recording) -> None:
    model = create_model("rgc_tiny", weights="random", input_size=32)
    bins = [(70, 85), (75, 90)]
    activations = extract(model, recording.stimuli, layers=["conv3"], time_bins=bins)
    found = GramStore(activations, bins)
    early, late = (activations.blocks["conv3", step] for step in (7, 8))
    for time_bin, weights in zip(bins, ((2 / 3, 1 / 3), (1 / 3, 2 / 3)), strict=True):
        expected = plain_gram([(weights[0], early), (weights[1], late)])
        atol = 1e-5 * float(np.abs(expected).max())
        gram = found.gram("conv3", [time_bin])
        assert gram.dense is not None
        np.testing.assert_allclose(gram.dense, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["../../outside", "a/b", "..", "a b\\c"])
def test_a_models_name_never_leads_out_of_the_folder_of_grams(
    recording: Recording,
    tmp_path: Path,
    name: str,
) -> None:
    activations = replace(lazily(recording), model=name)
    GramStore(activations, BINS, keep=True).gram("conv3", [BINS[0]])
    (file,) = tmp_path.rglob("*.safetensors")
    assert file.parent.parent == home() / "grams"
    assert re.fullmatch("[A-Za-z0-9_-]+", file.parent.name)
