"""What each baseline consists of, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurofit.activations.activations import Activations
from neurofit.activations.baselines import BASELINES, baselines_of
from neurofit.activations.presentation import Presentation

BINS = [(start, start + 10) for start in range(0, 60, 10)]
FIRST = {"a": 0, "b": 1, "c": 2}


def make(steps: range = range(6), image_off: int | None = 2) -> Activations:
    """Return three layers of 1, 2 and 3 units; values are 10 * timestep + stimulus."""
    return Activations(
        model="planted",
        stimulus_ids=np.array(["x", "y", "z"]),
        blocks={
            (layer, step): np.full((3, n), 10.0 * step, np.float32)
            + np.arange(3, dtype=np.float32)[:, None]
            for n, layer in enumerate("abc", start=1)
            for step in steps
        },
        first_timestep=FIRST,
        ms_per_timestep=10,
        n_timesteps=6,
        region_layers={"IT": ("c",)},
        presentation=Presentation(n_timesteps=6, image_off=image_off),
        provenance={"weights_sha256": "abc"},
        fingerprint="known",
    )


@pytest.mark.parametrize(
    ("steps", "image_off", "last"),
    [
        (range(6), 2, {"a": 1, "b": 2, "c": 3}),  # first timestep + 2 steps of image - 1
        (range(6), None, {"a": 5, "b": 5, "c": 5}),  # shown throughout
        (range(3), 2, {"a": 1, "b": 2, "c": 2}),  # of those that were extracted
        (range(4, 6), 2, {"a": 4, "b": 4, "c": 4}),
    ],
)
def test_the_last_step_is_the_last_that_the_shown_image_drives(
    steps: range, image_off: int | None, last: dict[str, int]
) -> None:
    found = baselines_of(make(steps, image_off), BINS)["last-step"]
    for (layer, _), block in found.blocks.items():  # type: ignore[attr-defined]
        assert block[0, 0] == 10 * last[layer]
    assert found.provenance["steps"] == last


def test_the_mean_begins_when_the_image_arrives() -> None:
    found = baselines_of(make(), BINS)["mean-over-time"]
    for layer, first in FIRST.items():
        for step in range(6):
            np.testing.assert_allclose(
                found.blocks[layer, step][:, 0], 10 * np.mean(range(first, 6)) + np.arange(3)
            )


def test_layers_are_spread_over_the_bins_that_the_scored_layer_predicts() -> None:
    model = make()
    found = baselines_of(model, BINS, layers=["b"])["layers-over-time"]
    assert found.layers == ("b",)
    np.testing.assert_array_equal(found.covered("b", BINS), model.covered("b", BINS))
    # Five bins from 10 ms: a a b b c, at the last steps 1, 2 and 3.
    units = [found.features("b", each).shape[1] for each in BINS[1:]]
    values = [found.features("b", each)[0, 0] for each in BINS[1:]]
    assert units == [1, 1, 2, 2, 3]
    assert values == [10, 10, 20, 20, 30]
    assert found.provenance["layers_ms"] == {"b": {"a": [10, 30], "b": [30, 50], "c": [50, 60]}}


def test_a_readout_beyond_the_layers_of_areas_has_no_part_in_depth() -> None:
    model = replace(make(), region_layers={"V4": ("a",), "IT": ("b",)})
    found = baselines_of(model, BINS, layers=["a"])["layers-over-time"]
    assert [found.features("a", each).shape[1] for each in BINS] == [1, 1, 1, 2, 2, 2]
    scored = baselines_of(model, BINS, layers=["c"])["layers-over-time"]
    assert [scored.features("c", each).shape[1] for each in BINS[2:]] == [1, 1, 2, 3]


def test_bins_that_overlap_or_a_single_layer_have_no_layers_over_time() -> None:
    assert "layers-over-time" not in baselines_of(make(), [(0, 20), (10, 30)])
    model = make()
    blocks = {key: model.blocks[key] for key in model.blocks if key[0] == "c"}
    alone = replace(model, blocks=blocks)
    assert list(baselines_of(alone, BINS)) == ["last-step", "mean-over-time", "shuffled"]


def test_shuffled_exchanges_stimuli_alike_in_all_blocks() -> None:
    order = np.random.default_rng(3).permutation(3)
    found = baselines_of(make(), BINS, seed=3)["shuffled"]
    for layer, step in found.blocks:
        np.testing.assert_array_equal(found.blocks[layer, step][:, 0], 10.0 * step + order)


def test_a_baseline_says_what_it_is_and_is_never_cached_as_the_model() -> None:
    made = baselines_of(make(), BINS)
    assert list(made) == list(BASELINES)
    for name, each in made.items():
        assert each.provenance["control"] == name
        assert each.provenance["baseline"] == BASELINES[name]
        assert each.provenance["weights_sha256"] == "abc"
        assert each.fingerprint == ""
        assert each.region_layers == {"IT": ("c",)}
