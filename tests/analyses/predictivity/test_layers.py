"""The choice of a layer sees held-out training stimuli only."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.score import score
from neurofit.recordings.recording import Recording

N_NEUROIDS, N_BINS = 40, 2

Plant = Callable[..., tuple[dict[tuple[str, int], np.ndarray], Recording]]
AsRecording = Callable[[np.ndarray], Recording]
AsActivations = Callable[..., Activations]
Run = Callable[..., xr.Dataset]


def test_auto_chooses_the_better_layer_on_training_stimuli_only(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=300)
    noise = np.random.default_rng(9).standard_normal((N_BINS, 300, 12)).astype(np.float32)
    both = {**{("noise", step): noise[step] for step in range(N_BINS)}, **blocks}
    result = run(both, recording, n_halves=2)
    assert result.layer_choice.dims == ("split",)
    assert result.layer_choice.values.tolist() == ["latent"] * 5
    assert result.layer.values.tolist() == ["latent"]
    alone = run(blocks, recording, n_halves=2)
    np.testing.assert_array_equal(result.r_xy.values, alone.r_xy.values)


def test_a_layer_that_predicts_nothing_does_not_decide_the_choice(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=120)
    noise = np.random.default_rng(9).standard_normal((N_BINS, 120, 12)).astype(np.float32)
    others = {("noise", step): noise[step] for step in range(N_BINS)} | {
        ("still", step): np.ones((120, 3), np.float32) for step in range(N_BINS)
    }
    assert run({**others, **blocks}, recording, n_splits=2, n_halves=1).layer.values.tolist() == [
        "latent"
    ]


def test_the_choice_of_layer_does_not_see_test_stimuli(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=120)
    rng = np.random.default_rng(4)
    test = run(blocks, recording, n_splits=1, n_halves=1).train.values[0] == 0
    layers = {}
    for step in range(N_BINS):
        latents = blocks["latent", step]
        noise = rng.standard_normal(latents.shape).astype(np.float32)
        layers["blurred", step] = latents + noise
        layers["trained", step] = np.where(test[:, None], 30 * noise, latents)
    result = run(layers, recording, n_splits=1, n_halves=1)
    assert result.layer.values.tolist() == ["trained"], "the better one on training stimuli"
    assert np.median(result.r_xy.values) < 0.3, "although it fails on test stimuli"
    blurred = {key: layer for key, layer in layers.items() if key[0] == "blurred"}
    assert np.median(run(blurred, recording, n_splits=1, n_halves=1).r_xy.values) > 0.5


def test_layers_are_compared_over_the_bins_that_all_of_them_predict(
    as_recording: AsRecording, as_activations: AsActivations
) -> None:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((120, 4)).astype(np.float32)
    signal = latents @ rng.standard_normal((4, N_NEUROIDS))
    rates = np.stack([rng.standard_normal(signal.shape), signal])
    recording = as_recording(rates[:, None] + rng.standard_normal((N_BINS, 8, 120, N_NEUROIDS)))
    blurred = latents + 0.5 * rng.standard_normal(latents.shape).astype(np.float32)
    blocks = {("whole", 0): latents, ("whole", 1): latents, ("late", 1): blurred}
    activations = as_activations(blocks, recording)
    late = Activations(**{**vars(activations), "first_timestep": {"whole": 0, "late": 1}})
    config = make_config("nayebi2022", mapping="ridge", n_splits=3, n_halves=1)
    choice = score(late, recording, config).layer_choice.values.tolist()
    assert choice == ["whole"] * 3, "better in the second bin, the only one that both predict"


def test_a_split_whose_layer_sees_the_image_later_takes_no_part_in_earlier_bins(
    plant: Plant, as_activations: AsActivations
) -> None:
    """Bins before the onset of a layer are those of the splits that chose an earlier one."""
    blocks, recording = plant(noise=1.0, n_stimuli=160, n_trials=10)
    rng = np.random.default_rng(5)
    noisy = {
        (layer, step): block + 0.3 * rng.standard_normal(block.shape).astype(np.float32)
        for layer in ("early", "late")
        for (_, step), block in blocks.items()
    }
    activations = as_activations(noisy, recording)
    activations = replace(activations, first_timestep={"early": 0, "late": 1})
    chosen, alone = (
        score(activations, recording, make_config(layers=layers, n_splits=8, n_halves=3))
        for layers in ("auto", ("early",))
    )
    splits = chosen.layer_choice.values == "early"
    assert splits.sum() == 6, "both layers are chosen"
    said = "Layer that held-out training stimuli choose: early in 6 of 8 splits, late in 2."
    assert said in json.loads(chosen.attrs["notes"])
    assert chosen.curve.values[0, 0] == pytest.approx(alone.curve.values[0, 0], abs=0.02)
    r_xy = chosen.r_xy.values[0, splits, :, 0]
    np.testing.assert_array_equal(r_xy, alone.r_xy.values[0, splits, :, 0])
