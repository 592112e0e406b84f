"""Planted truth: rates that are linear in known features come out of `score` as they went in."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.reasons import REASONS
from neurofit.analyses.predictivity.score import score
from neurofit.config.compute import Compute
from neurofit.errors import NeurofitError
from neurofit.mapping.contract import GramMapping, mapping_key
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.recordings.recording import Recording

N_STIMULI, N_LATENTS, N_NEUROIDS, N_BINS = 640, 12, 40, 2
RELIABLE = REASONS.index("scored")

Plant = Callable[..., tuple[dict[tuple[str, int], np.ndarray], Recording]]
AsRecording = Callable[[np.ndarray], Recording]
AsActivations = Callable[..., Activations]
Run = Callable[..., xr.Dataset]


def scored(result: xr.Dataset) -> np.ndarray:
    return np.asarray(result.noise_corrected_r.values[result.reason.values == RELIABLE])


@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
@pytest.mark.parametrize("mapping", [RidgeMapping(), PLSMapping(n_components=12)], ids=mapping_key)
def test_the_generator_reaches_1_at_any_noise_while_the_raw_r_falls(
    plant: Plant, run: Run, time_mode: str, mapping: GramMapping
) -> None:
    raw = []
    for noise in (1.0, 4.0, 6.0):  # reliabilities of 0.97, 0.65, 0.45
        blocks, recording = plant(noise=noise)
        result = run(
            blocks, recording, time_mode=time_mode, mapping=mapping, n_splits=10, n_halves=10
        )
        scores = scored(result)
        assert len(scores) == N_NEUROIDS * N_BINS
        assert scores.mean() == pytest.approx(1.0, abs=0.02)
        raw.append(float(result.curve_r_xy.mean()))
    assert raw[0] > 0.95
    assert raw[0] - raw[1] > 0.1
    assert raw[1] - raw[2] > 0.1


def test_the_generator_reaches_1_with_poisson_trials(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=4.0, poisson=True)
    assert scored(run(blocks, recording)).mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("share", [0.25, 0.64])
@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
def test_features_that_carry_a_share_of_the_variance_score_its_root(
    plant: Plant, run: Run, share: float, time_mode: str
) -> None:
    blocks, recording = plant(noise=3.0, share=share)
    assert scored(run(blocks, recording, time_mode=time_mode)).mean() == pytest.approx(
        np.sqrt(share), abs=0.03
    )


def test_shuffled_stimuli_score_0(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=2.0)
    order = np.random.default_rng(5).permutation(N_STIMULI)
    result = run({key: block[order] for key, block in blocks.items()}, recording, n_splits=10)
    assert (result.reason.values != REASONS.index("recording_not_reliable")).all()
    assert np.nanmean(result.noise_corrected_r.values) == pytest.approx(0.0, abs=0.02)


def test_pure_noise_has_no_reliable_neuroid_and_no_number(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=1e6)
    result = run(blocks, recording)
    assert (result.n_neuroids.values == 0).all()
    assert np.isnan(result.curve.values).all()
    assert (result.reason.values == REASONS.index("recording_not_reliable")).all()


def test_a_rotation_of_the_features_changes_nothing(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=3.0, n_stimuli=200)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((N_LATENTS, N_LATENTS)))
    rotated = {
        key: (block.astype(float) @ rotation).astype(np.float64) for key, block in blocks.items()
    }
    for mapping in (PLSMapping(n_components=6), "ridge"):
        a, b = (run(x, recording, mapping=mapping) for x in (blocks, rotated))
        np.testing.assert_allclose(a.r_xy.values, b.r_xy.values, atol=1e-9)


def test_uneven_repetitions_change_nothing_they_should_not(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=3.0)
    stimulus = np.random.default_rng(3).integers(10, 31, N_STIMULI)
    kept = recording.responses.repetition.values < stimulus[recording.stimulus_rows]
    uneven = Recording(
        name="uneven",
        responses=recording.responses.isel(presentation=np.flatnonzero(kept)),
        stimuli=recording.stimuli,
        simulated=True,
    )
    assert kept.mean() < 0.75
    assert scored(run(blocks, uneven)).mean() == pytest.approx(1.0, abs=0.02)


def test_missing_trials_change_nothing_they_should_not(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=3.0)
    holes = recording.responses.copy(deep=True)
    holes.values[np.random.default_rng(3).random(holes.shape[:2]) < 0.2] = np.nan
    result = run(
        blocks, Recording(name="holes", responses=holes, stimuli=recording.stimuli, simulated=True)
    )
    assert scored(result).mean() == pytest.approx(1.0, abs=0.02)


def test_a_neuroid_without_any_trial_of_a_stimulus_is_scored_on_the_others_and_it_is_said(
    plant: Plant, run: Run
) -> None:
    blocks, recording = plant(noise=3.0, n_stimuli=200)
    holes = recording.responses.copy(deep=True)
    holes.values[recording.responses.stimulus_id.values == "s0007", 4] = np.nan
    whole, result = (
        run(blocks, recording),
        run(blocks, Recording(name="holes", responses=holes, stimuli=recording.stimuli)),
    )
    assert (result.reason.values[0, 4] == REASONS.index("scored")).all()
    assert result.stimuli_left_out.values[4].tolist() == [1] * result.sizes["time_bin"]
    np.testing.assert_allclose(result.r_xy.values[:, :, 4], whole.r_xy.values[:, :, 4], atol=0.2)
    others = np.arange(N_NEUROIDS) != 4
    np.testing.assert_allclose(  # ridge fits each neuroid on its own
        result.r_xy.values[:, :, others], whole.r_xy.values[:, :, others], atol=1e-12
    )


def test_the_order_of_presentations_changes_no_full_trial_prediction(
    plant: Plant, run: Run
) -> None:
    blocks, recording = plant(noise=3.0, n_stimuli=200)
    order = np.random.default_rng(0).permutation(recording.responses.sizes["presentation"])
    shuffled = Recording(
        name="shuffled",
        responses=recording.responses.isel(presentation=order),
        stimuli=recording.stimuli,
    )
    np.testing.assert_allclose(
        run(blocks, recording).r_xy.values, run(blocks, shuffled).r_xy.values, atol=1e-7
    )


def test_fixed_mode_cannot_make_dynamics_that_the_features_do_not_have(
    as_recording: AsRecording, run: Run
) -> None:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((400, 6))
    # Every bin has another readout.
    rates = np.stack([latents @ rng.standard_normal((6, N_NEUROIDS)) for _ in range(N_BINS)])
    recording = as_recording(rates[:, None] + rng.standard_normal((N_BINS, 10, 400, N_NEUROIDS)))
    still = {("latent", step): latents.astype(np.float32) for step in range(N_BINS)}
    fixed, own = (
        run(still, recording, time_mode="fixed"),
        run(still, recording, time_mode="per-bin"),
    )
    assert (own.curve.values > 0.97).all(), "a map for each bin hides that the features stand still"
    assert (fixed.curve.values < 0.85).all(), "one map for all bins shows it"


@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
@pytest.mark.filterwarnings("ignore:.*the rank of the training features:Warning")
def test_components_that_the_rank_of_the_features_cuts_are_noted(
    plant: Plant, run: Run, time_mode: str
) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=200)
    notes = {
        n_components: json.loads(
            run(
                blocks,
                recording,
                mapping=(PLSMapping(n_components=n_components), "ridge"),
                time_mode=time_mode,
            ).attrs["notes"]
        )
        for n_components in (N_LATENTS, 25)
    }
    images = "All images are identical; they are taken as placeholders, not as duplicates."
    assert notes[N_LATENTS] == [images]
    assert notes[25] == [
        images,
        "pls: the training features of latent have rank 12 in 2 of 2 time bins; further components "
        "are left out.",
    ]


def test_constant_features_predict_nothing_and_give_no_number(plant: Plant, run: Run) -> None:
    _, recording = plant(noise=2.0, n_stimuli=200)
    constant = {("latent", step): np.ones((200, 5), np.float32) for step in range(N_BINS)}
    mapping = PLSMapping(n_components=12)
    result = run(constant, recording, mapping=mapping, time_mode="fixed")
    assert np.isnan(result.r_xy.values).all()
    assert np.isnan(result.curve.values).all()


def test_bins_before_the_image_reaches_the_layer_are_missing_and_not_zero(
    plant: Plant, as_activations: AsActivations
) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=200)
    activations = as_activations(blocks, recording, first_timestep=1)
    for time_mode in ("per-bin", "fixed"):
        config = make_config(
            "nayebi2022", mapping="ridge", n_splits=2, n_halves=2, time_mode=time_mode
        )
        result = score(activations, recording, config)
        assert np.isnan(result.curve.values[0, 0])
        assert result.curve.values[0, 1] > 0.9
        assert (result.reason.values[0, :, 0] == REASONS.index("before_model_responds")).all()


def test_a_rerun_is_equal_to_the_bit_whatever_the_number_of_workers(
    plant: Plant, as_activations: AsActivations
) -> None:
    blocks, recording = plant(noise=3.0, n_stimuli=200)
    mapping = PLSMapping(n_components=5)
    config = make_config("nayebi2022", mapping=mapping, n_splits=3, n_halves=3)
    first, again = (
        score(as_activations(blocks, recording), recording, config, compute=Compute(n_jobs=jobs))
        for jobs in (1, 2)
    )
    xr.testing.assert_identical(first, again)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ("latnet",)}, "Did you mean 'latent'"),
        ({"mapping": "plss"}, "Did you mean 'pls'"),
        ({"time_mode": "fixd"}, "Did you mean 'fixed'"),
        ({"n_splits": 0}, "n_splits must be at least 1"),
        ({"train_size": 1.5}, "train_size must lie between 0 and 1"),
    ],
)
def test_wrong_requests_are_refused_in_one_or_two_lines(
    plant: Plant, as_activations: AsActivations, changes: dict[str, Any], message: str
) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=40)
    with pytest.raises(NeurofitError, match=message) as caught:
        score(
            as_activations(blocks, recording),
            recording,
            make_config("nayebi2022", **changes),
        )
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"region": "V1"}, "Unknown region of planted 'V1'"),
        ({"window": (500, 600)}, "No time bin of planted lies inside 500-600 ms; it has 0-20 ms"),
    ],
)
def test_parts_that_a_recording_does_not_have_are_refused_before_a_score(
    plant: Plant, part: dict[str, Any], message: str
) -> None:
    _, recording = plant(noise=2.0, n_stimuli=40)
    with pytest.raises(NeurofitError, match=message) as caught:
        recording.select(**part)
    assert len(str(caught.value).splitlines()) <= 2


def test_a_recording_of_several_regions_is_refused_with_what_to_do(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=40)
    regions = np.where(np.arange(N_NEUROIDS) % 2, "V4", "IT")
    mixed = recording.responses.assign_coords(region=("neuroid", regions))
    message = r"about one region; planted has IT, V4\. Select one: recording\.select\(region="
    with pytest.raises(NeurofitError, match=message):
        run(blocks, replace(recording, responses=mixed))


def test_activations_of_other_stimuli_and_times_are_refused(
    plant: Plant, as_activations: AsActivations
) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=40)
    config = make_config("nayebi2022")
    other = Activations(
        **{**vars(as_activations(blocks, recording)), "stimulus_ids": recording.stimuli.ids[::-1]}
    )
    with pytest.raises(NeurofitError, match="do not match the stimuli of planted"):
        score(other, recording, config)
    whole = as_activations(blocks, recording)
    last = max(step for _, step in whole.blocks)
    fewer = {key: whole.blocks[key] for key in whole.blocks if key[1] < last}
    with pytest.raises(NeurofitError, match=rf"no latent for the timesteps {last}, which the time"):
        score(replace(whole, blocks=fewer), recording, config)
    late = recording.responses.assign_coords(
        time_bin_start=("time_bin", [900, 910]), time_bin_end=("time_bin", [910, 920])
    )
    with pytest.raises(NeurofitError, match=r"No time bin of late .* can be predicted"):
        score(
            as_activations(blocks, recording),
            Recording(name="late", responses=late, stimuli=recording.stimuli),
            config,
        )


def test_infinite_responses_are_refused(as_activations: AsActivations, make_recording: Any) -> None:
    recording = make_recording(n_stimuli=60, regions=("V4",))
    recording.responses.values[5, 1, 2] = np.inf
    features = np.random.default_rng(0).standard_normal((60, 5))
    activations = as_activations({("a", step): features for step in range(15)}, recording)
    with pytest.raises(
        NeurofitError,
        match="1 infinite values, the first at presentation 5, neuroid 'V4-1', time_bin 90-100 ms",
    ):
        score(
            activations,
            recording,
            make_config("nayebi2022", mapping="ridge", layers=("a",)),
        )
