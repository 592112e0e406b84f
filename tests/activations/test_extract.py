"""Activations are those of the unroll, block by block; images keep their visual degrees."""

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neurofit.activations import memory
from neurofit.activations.extract import extract
from neurofit.activations.memory import count_units, fitting_batch_size
from neurofit.activations.notes import image_notes
from neurofit.activations.presentation import NEURAL, Presentation
from neurofit.activations.screen import load_images
from neurofit.errors import MachineError, NeurofitError
from neurofit.models import create_model, wrap
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet
from neurofit.recordings.time_bins import make_time_bins
from neurofit.storage.home import home

Make = Callable[..., Recording]


@pytest.fixture
def stimuli(make_recording: Make) -> StimulusSet:
    noise = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    return replace(make_recording().stimuli, images=noise)


def test_blocks_are_the_unrolled_activations_whatever_the_batch(stimuli: StimulusSet) -> None:
    model = create_model("rgc_tiny", weights="random", seed=3).eval()
    activations = extract(model, stimuli, layers=["conv3", "conv5"], batch_size=4)
    assert activations.layers == ("conv3", "conv5")
    assert len(activations.blocks) == 2 * 26
    images = load_images(stimuli, range(6), size=32, field_degrees=8.0)
    with torch.inference_mode():
        for timestep, layers in model.unroll(images, NEURAL):
            for layer in ("conv3", "conv5"):
                np.testing.assert_allclose(
                    activations.blocks[layer, timestep], layers[layer].flatten(1).numpy(), atol=1e-5
                )


def test_only_the_timesteps_that_the_bins_need_are_kept(stimuli: StimulusSet) -> None:
    activations = extract(
        create_model("timedecay_tiny", weights="random"),
        stimuli,
        layers=["conv3"],
        time_bins=[(50, 60), (60, 75)],
    )
    assert sorted(step for _, step in activations.blocks) == [5, 6, 7]


def test_a_wide_bin_sees_the_mean_of_its_timesteps(stimuli: StimulusSet) -> None:
    activations = extract(
        create_model("timedecay_tiny", weights="random"), stimuli, layers=["conv3"]
    )
    blocks = activations.blocks
    np.testing.assert_allclose(
        activations.features("conv3", (50, 75)),
        (blocks["conv3", 5] + blocks["conv3", 6] + 0.5 * blocks["conv3", 7]) / 2.5,
        rtol=1e-5,
    )
    assert activations.covered(
        "conv3", [(0, 10), (10, 30), (20, 30), (250, 260), (250, 270)]
    ).tolist() == [False, False, True, True, False]


def test_files_lie_in_the_home_and_vanish_with_the_activations(stimuli: StimulusSet) -> None:
    before = set((home() / "unfinished").glob("*")) if (home() / "unfinished").exists() else set()
    activations = extract(
        create_model("timedecay_tiny", weights="random"),
        stimuli,
        layers=["conv3"],
        time_bins=[(50, 60)],
    )
    folders = set((home() / "unfinished").glob("*")) - before
    assert len(folders) == 1
    assert isinstance(activations.blocks["conv3", 5], np.memmap)
    del activations
    gc.collect()
    assert not any(folder.exists() for folder in folders)


def test_a_full_disk_is_said_and_leaves_nothing(
    stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(MachineError, match=r"Cannot allocate .* MB for activations"):
        extract(create_model("timedecay_tiny", weights="random"), stimuli, layers=["conv3"])
    gc.collect()
    assert list((tmp_path / "unfinished").iterdir()) == []


def test_provenance_tells_weights_apart(stimuli: StimulusSet) -> None:
    hashes = {
        extract(
            create_model("timedecay_tiny", weights="random", seed=seed),
            stimuli,
            layers=["conv3"],
            time_bins=[(50, 60)],
        ).provenance["weights_sha256"]
        for seed in (0, 0, 1)
    }
    assert len(hashes) == 2


def test_provenance_says_what_was_done_to_the_pictures(stimuli: StimulusSet) -> None:
    small = replace(stimuli, images=np.zeros((6, 40, 40, 3), np.uint8), visual_degrees=4.0)
    assert extract(
        create_model("timedecay_tiny", weights="random"),
        small,
        layers=["conv3"],
        time_bins=[(50, 60)],
    ).provenance["screen"] == {
        "image": "40 x 40 px, 4 degrees",
        "canvas": "80 x 80 px, 8 degrees",
        "placed": "padded with gray 128",
        "resized": "to 32 x 32 px, bilinear, antialiased",
    }


def test_units_are_counted_without_extracting() -> None:
    assert count_units(create_model("rgc_tiny", weights="random"), ["conv3", "conv5"]) == {
        "conv3": 32 * 4 * 4,
        "conv5": 32 * 4 * 4,
    }


def test_an_unknown_layer_and_presentation_are_refused_with_the_nearest(
    stimuli: StimulusSet,
) -> None:
    model = create_model("timedecay_tiny", weights="random")
    with pytest.raises(NeurofitError, match="Did you mean 'conv3'"):
        extract(model, stimuli, layers=["convv3"])
    with pytest.raises(NeurofitError, match="Did you mean 'neural'"):
        extract(model, stimuli, presentation="neurl")


def test_activations_that_are_not_finite_are_refused_by_name(stimuli: StimulusSet) -> None:
    model = create_model("timedecay_tiny", weights="random")
    with torch.no_grad():
        next(model.net["conv3"].parameters()).fill_(float("nan"))
    with pytest.raises(
        NeurofitError, match="timedecay_tiny, layer conv3, timestep 0: activations are not finite"
    ):
        extract(model, stimuli, layers=["conv3"])


class Moody:
    """Yields the same tensor at timesteps 0 and 1 for the first batch, and others for the next."""

    name = "moody"
    layers: tuple[str, ...] = ("only",)
    region_layers: Mapping[str, tuple[str, ...]] = {}
    first_timestep: Mapping[str, int] = {"only": 0}
    ms_per_timestep = 10
    input_size = 8
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)
    visual_degrees = 8.0
    presentations: Mapping[str, Presentation] = {"neural": Presentation(n_timesteps=3)}

    def unroll(
        self,
        images: Tensor,
        presentation: str | Presentation = "default",
        *,
        layers: Sequence[str] | None = None,
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        first = images.mean(dim=(2, 3))
        yield 0, {"only": first}
        yield 1, {"only": first if len(images) == 4 else first + 1}
        yield 2, {"only": first + 2}


def test_timesteps_share_an_array_only_as_long_as_they_are_alike(stimuli: StimulusSet) -> None:
    activations = extract(Moody(), stimuli, batch_size=4)
    means = load_images(stimuli, range(6), size=8, field_degrees=8.0).mean(dim=(2, 3)).numpy()
    for step, more in enumerate(([0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [2, 2, 2, 2, 2, 2])):
        np.testing.assert_allclose(
            activations.blocks["only", step], means + np.array(more)[:, None], rtol=1e-6
        )
    alike = extract(Moody(), stimuli, batch_size=6)
    assert alike.blocks["only", 1] is not alike.blocks["only", 0]
    whole = extract(
        Moody(),
        replace(stimuli, table=stimuli.table[:4], images=[stimuli.images[row] for row in range(4)]),
        batch_size=4,
    )
    assert whole.blocks["only", 1] is whole.blocks["only", 0]


def test_timesteps_that_agree_in_the_first_image_only_share_no_array(stimuli: StimulusSet) -> None:
    class Late(Moody):
        """Answers at timestep 1 as at 0, but for the third image of a batch."""

        def unroll(
            self,
            images: Tensor,
            presentation: str | Presentation = "default",
            *,
            layers: Sequence[str] | None = None,
        ) -> Iterator[tuple[int, dict[str, Tensor]]]:
            first = images.mean(dim=(2, 3))
            second = first.clone()
            second[2] += 1
            yield from enumerate([{"only": first}, {"only": second}, {"only": second}])

    blocks = extract(Late(), stimuli, batch_size=6).blocks
    means = load_images(stimuli, range(6), size=8, field_degrees=8.0).mean(dim=(2, 3)).numpy()
    np.testing.assert_allclose(blocks["only", 0], means, rtol=1e-6)
    for step in (1, 2):
        more = np.array([0, 0, 1, 0, 0, 0])[:, None]
        np.testing.assert_allclose(blocks["only", step], means + more, rtol=1e-6)


def test_a_model_may_change_its_state_in_place(stimuli: StimulusSet) -> None:
    class InPlace(Moody):
        def unroll(
            self,
            images: Tensor,
            presentation: str | Presentation = "default",
            *,
            layers: Sequence[str] | None = None,
        ) -> Iterator[tuple[int, dict[str, Tensor]]]:
            state = images.mean(dim=(2, 3))
            for timestep in range(3):
                yield timestep, {"only": state}
                state.mul_(2)

    activations = extract(InPlace(), stimuli, batch_size=4)
    first, second, third = (activations.blocks["only", step] for step in range(3))
    np.testing.assert_array_equal(second, 2 * first)
    np.testing.assert_array_equal(third, 4 * first)


def test_bins_behind_the_unroll_are_refused_before_any_image(stimuli: StimulusSet) -> None:
    with pytest.raises(
        NeurofitError,
        match=r"None of the time bins lies in the unroll of moody: 3 timesteps of 10 ms",
    ):
        extract(Moody(), stimuli, time_bins=[(100, 110)])


def test_memory_keeps_the_disk_out_of_it(stimuli: StimulusSet) -> None:
    before = set((home() / "unfinished").glob("*")) if (home() / "unfinished").exists() else set()
    model = create_model("timedecay_tiny", weights="random")
    kept = extract(model, stimuli, layers=["conv3"], time_bins=[(50, 70)], storage="memory")
    assert set((home() / "unfinished").glob("*")) <= before
    filed = extract(model, stimuli, layers=["conv3"], time_bins=[(50, 70)])
    for key in filed.blocks:
        np.testing.assert_array_equal(kept.blocks[key], filed.blocks[key])
    with pytest.raises(NeurofitError, match="Unknown storage 'ram'"):
        extract(model, stimuli, storage="ram")


def test_bfloat16_is_close_and_on_record(stimuli: StimulusSet) -> None:
    model = create_model("rgc_tiny", weights="random")
    exact, fast = (
        extract(model, stimuli, layers=["conv3"], time_bins=[(80, 90)], precision=p)
        for p in ("float32", "bfloat16")
    )
    error = (
        np.abs(fast.blocks["conv3", 8] - exact.blocks["conv3", 8]).max()
        / np.abs(exact.blocks["conv3", 8]).max()
    )
    assert 0 < error < 0.03
    assert (exact.provenance["precision"], fast.provenance["precision"]) == ("float32", "bfloat16")
    assert fast.blocks["conv3", 8].dtype == np.float32


def test_a_batch_is_as_large_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("rgc_tiny", weights="random")
    assert fitting_batch_size(model) == 32
    # The RGC-S of docs/zoo.md, section 5.7, on maps of 8 x 8 and 4 x 4: conv, W_ic, (W_ctau, W_og),
    # (W_otau, W_cg) and W_rg have 7 times the channels in all.
    recurrent = 7 * (32 * 8 * 8 + 32 * 4 * 4 + 32 * 4 * 4)
    floats = 32 * 16 * 16 + 48 * 16 * 16 + recurrent + 10
    monkeypatch.setattr(memory, "free_bytes", lambda device: int(5.5 * 4 * 4 * floats))
    assert fitting_batch_size(model) == 5
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    assert fitting_batch_size(model) == 1


@pytest.mark.parametrize(("duration", "image_off"), [(100.0, 10), (50.0, 5), (46.0, 5), (4.0, 1)])
def test_the_image_is_off_when_the_recording_says(
    stimuli: StimulusSet, duration: float, image_off: int
) -> None:
    model = create_model("rgc_tiny", weights="random", seed=3)
    shown = replace(stimuli, duration_ms=duration)
    found = extract(model, shown, layers=["conv5"], storage="memory")
    assert found.presentation == replace(NEURAL, image_off=image_off)
    explicit = Presentation(n_timesteps=26, image_off=image_off)
    expected = extract(model, stimuli, layers=["conv5"], presentation=explicit, storage="memory")
    for key in expected.blocks:
        assert np.array_equal(found.blocks[key], expected.blocks[key])
    constant = extract(model, shown, layers=["conv5"], presentation="constant", storage="memory")
    assert constant.presentation is not None
    assert constant.presentation.image_off is None


def test_layers_without_memory_no_longer_see_an_image_that_is_off(stimuli: StimulusSet) -> None:
    # One step for each layer: conv1 is a function of the image of its own step.
    feedforward = create_model("feedforward_tiny", weights="random")
    found = extract(feedforward, replace(stimuli, duration_ms=50.0), storage="memory")
    assert found.unseen == {layer: 5 + depth for depth, layer in enumerate(feedforward.layers)}, (
        "off at 50 ms, and one step later in each layer"
    )
    recurrent = create_model("rgc_tiny", weights="random")
    again = extract(recurrent, stimuli, layers=["conv5"], storage="memory", batch_size=1)
    assert again.unseen == {}
    bins = [(70, 80), (100, 110), (110, 120)]
    args = {"stimuli": replace(stimuli, duration_ms=50.0), "time_bins": bins}
    assert image_notes(found, layers=["conv1"], **args) == [  # type: ignore[arg-type]
        "feedforward_tiny, layer conv1: in the time bins from 70 ms on it no longer sees the "
        "image, and its features are the same for all stimuli."
    ]
    assert image_notes(again, layers=["conv5"], **args) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("presentation", ["neural", "default"])
def test_a_static_network_covers_the_recording_in_steps_of_any_duration(
    stimuli: StimulusSet, presentation: str
) -> None:
    bins = make_time_bins(70, 310, 10)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, 4))
    model = wrap(net, ["0"], input_size=32, ms_per_timestep=5)
    found = extract(model, stimuli, presentation=presentation, time_bins=bins, storage="memory")
    assert found.n_timesteps == 62
    assert found.covered("0", bins).all()
    first, last = (found.features("0", each) for each in (bins[0], bins[-1]))
    assert first is last


def test_bins_after_the_end_of_a_clip_are_noted(stimuli: StimulusSet) -> None:
    class Frames(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.eye = torch.nn.Conv2d(3, 4, 5, 4)

        def forward(self, clip: torch.Tensor) -> torch.Tensor:
            seen: torch.Tensor = self.eye(clip.flatten(0, 1))
            return seen

    model = wrap(Frames(), ["eye"], input_size=32, ms_per_timestep=5)
    bins = make_time_bins(100, 200, 10)
    found = extract(model, stimuli, time_bins=bins, storage="memory")
    found = replace(found, provenance={**found.provenance, **model.timing})
    assert found.covered("eye", bins).sum() == 3
    notes = image_notes(found, stimuli, bins, layers=["eye"])
    assert notes[0] == (
        "The clip that Frames is shown ends at 130 ms, so that the time bins from 130 ms on have "
        "no score; its option frames makes the clip longer."
    )
    assert not any("clip" in each for each in image_notes(found, stimuli, bins[:3], layers=["eye"]))
