"""What two sources explain apart and together: planted shares, plain loops."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import LinearRegression

import neurofit
from neurofit.activations.activations import Activations
from neurofit.activations.baselines import baselines_of
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.errors import NeurofitError
from neurofit.mapping.banded import BandedRidge
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.pls import PLSMapping
from neurofit.results import figures
from neurofit.results.tables import result_tables

Scripts = Callable[[str], AbstractContextManager[Callable[[str], Any]]]

UNRELATED = (0.6, 0.0, 0.0)


@pytest.fixture
def validity(scripts: Scripts) -> Iterator[Any]:
    """Return the script with the simulations."""
    with scripts("validity") as imported:
        yield imported("partition")


def draw(validity: Any, *, seed: int = 0, **options: Any) -> tuple[Any, ...]:
    """Return A, B, a recording, and the recording without noise."""
    made = validity.Planted(**options).draw(neuroids=seed, stimuli=seed, trials=seed)
    return tuple(made)


def run(first: Any, second: Any, recording: Any, **options: Any) -> xr.Dataset:
    return neurofit.partition(first, second, recording, neurofit.PartitionConfig(**options))


def test_planted_shares_are_recovered(validity: Any) -> None:
    shares = (0.3, 0.2, 0.25)
    options: dict[str, Any] = {"n_stimuli": 1500, "n_latents": 4, "reliabilities": (0.5, 0.9)}
    first, second, recording, _ = draw(validity, shares=shares, **options)
    found = validity.parts_of(run(first, second, recording))
    assert found == pytest.approx(np.tile(np.array([*shares, 0.75])[:, None], 2), abs=0.02)


def test_sites_of_which_each_follows_one_source_count_with_their_own_share(validity: Any) -> None:
    """Squares of a mean correlation would be half of this."""
    options: dict[str, Any] = {
        "n_stimuli": 1500,
        "n_latents": 3,
        "reliabilities": (0.8,),
        "separate": True,
    }
    first, second, recording, _ = draw(validity, shares=(0.35, 0.35, 0.1), **options)
    found = validity.parts_of(run(first, second, recording))[:, 0]
    assert found == pytest.approx([0.35, 0.35, 0.1, 0.8], abs=0.02)


def test_an_unrelated_source_adds_nothing_although_r2_in_the_sample_rises(validity: Any) -> None:
    options: dict[str, Any] = {"reliabilities": (0.4, 0.8), "n_latents": 20, "n_stimuli": 300}
    first, second, recording, _ = draw(validity, shares=UNRELATED, **options)
    found = run(first, second, recording)
    unique, shared = found.explained.values[0, 1:]
    assert np.abs(unique).max() < 0.01
    assert np.abs(shared).max() < 0.01
    assert (found.explained_low.values[0, 1:] < 0.005).all()
    for b, step in enumerate((7, 8)):
        y = recording.block(b).astype(float).reshape(8, 300, 30).mean(axis=0)
        a, b_features = (each.blocks["layer", step].astype(float) for each in (first, second))
        own, both = (
            LinearRegression().fit(x, y).score(x, y) for x in (a, np.hstack([a, b_features]))
        )
        assert both - own > 0.02


def test_trial_noise_does_not_change_the_parts(validity: Any) -> None:
    """Mean over data sets, less what the same images give without noise."""
    options: dict[str, Any] = {"n_stimuli": 300, "n_latents": 4, "reliabilities": (0.3, 0.6)}
    differences = []
    for seed in range(8):
        first, second, noisy, clean = draw(validity, seed=seed, **options)
        differences.append(
            validity.parts_of(run(first, second, noisy))
            - validity.parts_of(run(first, second, clean, n_halves=1))
        )
    error = np.std(differences, axis=0, ddof=1) / np.sqrt(8)
    assert (np.abs(np.mean(differences, axis=0)) < 0.01 + 2.5 * error).all()
    assert error.max() < 0.02


@pytest.mark.parametrize("choice", ["area", "neuroid"])
def test_the_parts_equal_a_plain_loop(validity: Any, choice: str) -> None:
    """Covariances over test stimuli, one by one, summed and divided as the formula says."""
    options: dict[str, Any] = {
        "n_stimuli": 60,
        "n_neuroids": 5,
        "n_units": 9,
        "reliabilities": (0.5, 0.8),
    }
    first, second, recording, _ = draw(validity, **options)
    config = neurofit.PartitionConfig(choice=choice, n_splits=3, n_halves=2, min_z=None)
    found = neurofit.partition(first, second, recording, config)
    fitting = Fitting(first, recording, config.first)
    ridge = BandedRidge(choice=choice)
    for b, step in enumerate((7, 8)):
        (chunk,) = fitting.means(np.array([b]), [range(2)])
        sets = chunk.sets[:, 0]
        one, other = ([gram_of([each.blocks["layer", step]])] for each in (first, second))
        signal, explained = 0.0, dict.fromkeys(("first", "second", "both"), 0.0)
        for train, fits in zip(
            fitting.train, ridge.cross_fit(one, other, sets, fitting.train), strict=True
        ):
            for n in range(5):
                variance = sets[0, train, n].var()
                y, y1, y2 = sets[0, ~train, n], sets[1:3, ~train, n], sets[3:, ~train, n]
                for left, right in zip(y1, y2, strict=True):
                    signal += np.cov(left, right, ddof=0)[0, 1] / 2 / variance
                for source, fit in fits.items():
                    p = fit.predicted[:, :, n]
                    explained[source] += 2 * np.cov(p[0], y, ddof=0)[0, 1] / variance
                    for left, right in zip(p[1:3], p[3:], strict=True):
                        explained[source] -= np.cov(left, right, ddof=0)[0, 1] / 2 / variance
        r2 = {source: value / signal for source, value in explained.items()}
        assert found.alone.values[0, :, b] == pytest.approx(list(r2.values()), abs=1e-6)
        expected = [
            r2["both"] - r2["second"],
            r2["both"] - r2["first"],
            r2["first"] + r2["second"] - r2["both"],
            r2["both"],
        ]
        assert validity.parts_of(found)[:, b] == pytest.approx(expected, abs=1e-6)


def test_influences_of_test_stimuli_and_neuroids_are_derivatives(validity: Any) -> None:
    """A neuroid that is recorded twice changes the parts by its influence, to first order."""
    first, second, recording, _ = draw(validity, n_stimuli=120, reliabilities=(0.7,))
    from neurofit.analyses.partition.explained import Explained, Pair

    config = neurofit.PartitionConfig(choice="neuroid", min_z=None)

    def explained(given: Any) -> Explained:
        fitting = Fitting(first, given, config.first)
        return Explained.fit(Pair.of(fitting, second, config), config, None)

    whole = explained(recording)
    responses = recording.responses
    for n in (3, 17):
        kept = [i for i in range(30) if i != n]
        less = explained(replace(recording, responses=responses.isel(neuroid=kept)))
        moved = whole.r2[0, :, 0] - less.r2[0, :, 0]
        assert moved == pytest.approx(whole.neuroids[0, :, n, 0], rel=0.15, abs=3e-4)
    assert whole.neuroids.sum(axis=2) == pytest.approx(0, abs=1e-9)


@pytest.mark.simulation
def test_intervals_hold_what_can_be_reached(validity: Any) -> None:
    planted = validity.Planted(n_stimuli=150, n_neuroids=20, reliabilities=(0.4, 0.8))
    found = validity.summarise([validity.one(planted, "both", "area", i) for i in range(16)])
    assert np.mean(found["coverage"]) > 0.88
    ratio = np.array(found["half_width"]) / np.array(found["sd"]) / 2
    assert np.median(ratio) == pytest.approx(1, abs=0.4)


def test_equal_sources_share_everything(validity: Any) -> None:
    first, _, recording, _ = draw(validity, n_stimuli=150)
    twin = replace(first, model="twin")
    found = run(first, twin, recording)
    assert found.explained.values[0, :2] == pytest.approx(0, abs=1e-9)
    assert found.explained_high.values[0, :2] == pytest.approx(0.001, abs=1e-9)
    assert found.explained_p.values[0, :2].tolist() == [[1.0] * 3] * 2
    assert found.explained.values[0, 2] == pytest.approx(found.total.values[0])


def test_a_part_that_only_the_grid_of_shares_makes_is_not_tested(validity: Any) -> None:
    options: dict[str, Any] = {"n_stimuli": 800, "reliabilities": (0.9, 0.95)}
    first, second, recording, _ = draw(validity, shares=UNRELATED, **options)
    found = run(first, second, recording)
    unique = found.explained.values[0, 1]
    assert (np.abs(unique) > 0).all()
    assert np.abs(unique).max() < 1e-3
    assert found.explained_band_low.values[0, 1] == pytest.approx(unique - 0.001)
    assert found.explained_p_adjusted.values[0, 1].tolist() == [1.0] * 2


def layered(validity: Any) -> tuple[Activations, Any]:
    """Return a model of which layer a holds A, b holds B and c nothing of the responses."""
    first, second, recording, _ = draw(validity, n_stimuli=500, reliabilities=(0.6, 0.8))
    noise = np.random.default_rng(5).standard_normal((2, 500, 20)).astype(np.float32)
    blocks = {
        **{("a", step): block for (_, step), block in first.blocks.items()},
        **{("b", step): block for (_, step), block in second.blocks.items()},
        **{("c", 7 + step): block for step, block in enumerate(noise)},
    }
    layers = ("a", "b", "c")
    made = replace(
        first,
        model="m",
        blocks=blocks,
        first_timestep=dict.fromkeys(layers, 7),
        region_layers={"IT": ("a", "b")},
    )
    return made, recording


def test_each_layer_is_compared_with_the_others_of_its_model(validity: Any) -> None:
    model, recording = layered(validity)
    found = run(model, model, recording, layers="all", against="other-layers")
    assert found.layer.values.tolist() == ["a", "b", "c"]
    assert found.part.values.tolist() == ["unique to the layer", "unique to other layers", "shared"]
    unique = found.explained.values[:, 0]
    expected = np.tile(np.array([0.3, 0.2, 0.0])[:, None], 2)
    assert unique == pytest.approx(expected, abs=0.04)
    named = run(
        model, model, recording, layers=("a",), against="other-layers", against_layers=("c",)
    )
    assert named.explained.values[0, 0] == pytest.approx(0.55, abs=0.04)
    assert "a with c" in json.loads(named.attrs["notes"])[0]


def test_layers_of_an_area_are_one_source_and_named_ones_are_rows(validity: Any) -> None:
    model, recording = layered(validity)
    other = replace(model, model="other", region_layers={"IT": ("c",)})
    whole = run(model, other, recording)
    assert whole.layer.values.tolist() == ["a + b"]
    assert whole.explained.values[0, 0] == pytest.approx(0.75, abs=0.04)
    assert whole.part.values.tolist() == ["unique to m", "unique to other", "shared"]
    rows = run(model, other, recording, layers=("a", "b"))
    assert rows.layer.values.tolist() == ["a", "b"]
    assert rows.explained.values[:, 0] == pytest.approx(
        np.tile(np.array([0.55, 0.45])[:, None], 2), abs=0.04
    )


def test_what_dynamics_add_is_measured_against_the_last_step(validity: Any) -> None:
    """Features that change in each bin hold what those of the last one lack."""
    first, _, recording, _ = draw(validity, n_stimuli=500, shares=UNRELATED)
    (last,) = (baselines_of(first, recording.time_bins)["last-step"],)
    found = run(first, last, recording)
    assert found.part.values.tolist() == ["unique to A", "unique to last-step", "shared"]
    assert found.explained.values[0, 0, :2] == pytest.approx(found.total.values[0, :2], abs=0.03)
    assert found.explained.values[0, :2, 2] == pytest.approx(0, abs=1e-9)
    assert json.loads(found.attrs["against"])["control"] == "last-step"
    assert found.attrs["control"] == ""


def test_windows_are_means_of_their_bins(validity: Any) -> None:
    first, second, recording, _ = draw(validity, n_stimuli=150)
    found = run(first, second, recording, windows=["70:90", "early"])
    assert found.window.values.tolist() == ["70-90 ms", "70-130 ms"]
    for name in ("explained", "total"):
        bins, window = found[name].values, found[f"window_{name}"].values
        assert window[..., 0] == pytest.approx(bins[..., :2].mean(axis=-1), abs=1e-12)
        assert window[..., 1] == pytest.approx(bins.mean(axis=-1), abs=1e-12)
    one = run(first, second, recording, windows=["70:80"])
    for end in ("low", "high"):
        assert one[f"window_explained_{end}"].values[..., 0] == pytest.approx(
            one[f"explained_{end}"].values[..., 0], rel=0.2
        )
    said = json.loads(found.attrs["conclusion"])
    assert len(said) == 2
    assert f"both sources explain {found.window_total.values[0, 0]:.3f} of the signal" in said[0]
    assert "are unique to A (95% interval" in said[0]
    with pytest.raises(NeurofitError, match="windows must hold a time bin"):
        run(first, second, recording, windows=["300:400"])


def test_a_bin_without_signal_has_no_value(validity: Any) -> None:
    first, second, recording, _ = draw(validity, n_stimuli=120, reliabilities=(1e-6, 0.8))
    found = run(first, second, recording)
    assert np.isnan(found.explained.values[0, :, 0]).all()
    for end in ("low", "high", "band_low", "band_high"):
        assert np.isnan(found[f"explained_{end}"].values[0, :, 0]).all()
    assert np.isfinite(found.explained.values[0, :, 1]).all()
    assert found.z_recording.values[0, 0] < 4 < found.z_recording.values[0, 1]
    assert np.isfinite(found.window_explained.values).all()


def test_a_neuroid_without_a_stimulus_is_fitted_on_the_others(validity: Any) -> None:
    first, second, recording, _ = draw(validity, n_stimuli=150)
    responses = recording.responses.copy(deep=True)
    responses.values[responses.stimulus_id.values == "s3", 4, 1] = np.nan
    found = run(first, second, replace(recording, responses=responses))
    assert found.n_neuroids.values.tolist() == [[30, 30, 30]]
    assert found.explained.values == pytest.approx(
        run(first, second, recording).explained.values, abs=0.05
    )
    assert any("left out: 1 of 150" in note for note in json.loads(found.attrs["notes"]))


def test_the_numbers_do_not_depend_on_the_number_of_cores(validity: Any) -> None:
    first, second, recording, _ = draw(validity, n_stimuli=80)
    config = neurofit.PartitionConfig(n_halves=3)
    one, two = (
        neurofit.partition(first, second, recording, config, compute=neurofit.Compute(n_jobs=jobs))
        for jobs in (1, 2)
    )
    xr.testing.assert_identical(one, two)


def test_the_parts_are_lines_below_their_total_and_tables_of_their_own(validity: Any) -> None:
    first, second, recording, _ = draw(validity, n_stimuli=150)
    found = run(first, second, recording)
    (axes,) = figures.draw(found).axes
    labels = {line.get_label(): line for line in axes.get_lines()}
    for position, name in enumerate(("unique to A", "unique to B", "shared")):
        np.testing.assert_array_equal(labels[name].get_ydata(), found.explained.values[0, position])
    np.testing.assert_array_equal(
        labels["explained by both (R²)"].get_ydata(), found.total.values[0]
    )
    titles = [title for title, _ in result_tables(found)]
    assert len(titles) == 3 + 3 + 1
    assert "unique to A" in titles[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mapping": PLSMapping()}, "A variance partitioning takes a ridge; got pls"),
        ({"mapping": ("ridge", "pls")}, "takes a ridge; got ridge, pls"),
        ({"time_mode": "fixed"}, "A variance partitioning has time_mode per-bin"),
        ({"fit_halves": False}, "A variance partitioning has fit_halves True"),
        ({"splits": "folds-together"}, "Unknown splits .folds-together"),
        ({"choice": "site"}, "Unknown choice .site"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(NeurofitError, match=words):
        neurofit.PartitionConfig(**options)


def test_a_layer_needs_another_and_sources_need_a_common_bin(validity: Any) -> None:
    first, second, recording, _ = draw(validity, n_stimuli=40)
    with pytest.raises(NeurofitError, match="A layer is compared with others; layer is the only"):
        run(first, first, recording, against="other-layers")
    late = replace(second, first_timestep={"layer": 10})
    with pytest.raises(NeurofitError, match="can be predicted by both A and B"):
        run(first, late, recording)
