"""A result keeps everything it was made of: saved, opened again and summarised, nothing is lost."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.presets import PRESETS, make_config
from neurofit.analyses.predictivity.reasons import REASONS
from neurofit.analyses.predictivity.score import score
from neurofit.recordings.recording import Recording
from neurofit.results.io import load_result, save_result
from neurofit.results.plot import plot_result
from neurofit.results.summary import summarise
from neurofit.results.tables import result_tables

Make = Callable[..., Recording]


@pytest.fixture
def result(make_recording: Make) -> Callable[..., xr.Dataset]:
    recording = make_recording(n_stimuli=40, n_repetitions=6, n_neuroids=5, n_bins=5)
    rng = np.random.default_rng(0)
    blocks = {
        (layer, step): rng.standard_normal((40, 9)).astype(np.float32)
        for layer in ("a", "b")
        for step in range(12)
    }

    def make(
        preset: str = "nayebi2022", *, window: tuple[int, int] | None = None, **changes: Any
    ) -> xr.Dataset:
        activations = Activations(
            model="m",
            stimulus_ids=recording.stimuli.ids,
            blocks=blocks,
            first_timestep={"a": 0, "b": 8},
            ms_per_timestep=10,
            n_timesteps=12,
            region_layers={"IT": ("a", "b")},
            provenance={"weights_sha256": "abc"},
        )
        options = {
            "mapping": "ridge",
            "n_splits": 2,
            "n_halves": 2,
            "n_bootstraps": 20,
            "layers": ("a", "b"),
            **changes,
        }
        part = recording.select(region="IT", window=window)
        return score(activations, part, make_config(preset, **options))

    return make


@pytest.mark.parametrize("preset", PRESETS)
def test_a_saved_result_is_the_same_when_opened(
    result: Callable[..., xr.Dataset], tmp_path: Path, preset: str
) -> None:
    made = result(preset)
    save_result(made, tmp_path / "result.nc")
    xr.testing.assert_identical(made, xr.load_dataset(tmp_path / "result.nc", engine="h5netcdf"))
    xr.testing.assert_identical(made, load_result(tmp_path))


def test_the_attributes_tell_how_it_was_made(result: Callable[..., xr.Dataset]) -> None:
    attrs = result().attrs
    config = json.loads(attrs["config"])
    assert (config["n_splits"], config["seed"], config["layers"]) == (2, 0, ["a", "b"])
    assert json.loads(attrs["activations"])["weights_sha256"] == "abc"
    assert set(json.loads(attrs["versions"])) == {
        "neurofit",
        "numpy",
        "scipy",
        "scikit-learn",
        "xarray",
        "torch",
    }
    assert (
        attrs["splits_sha256"]
        == result().attrs["splits_sha256"]
        != result(seed=1).attrs["splits_sha256"]
    )


def test_each_hash_is_of_the_splits_or_of_the_halves_alone(
    result: Callable[..., xr.Dataset],
) -> None:
    made, other_splits, other_halves = result(), result(train_size=0.5), result(n_halves=3)
    assert made.attrs["splits_sha256"] != other_splits.attrs["splits_sha256"]
    assert made.attrs["halves_sha256"] == other_splits.attrs["halves_sha256"]
    assert made.attrs["splits_sha256"] == other_halves.attrs["splits_sha256"]
    assert made.attrs["halves_sha256"] != other_halves.attrs["halves_sha256"]
    bits = np.packbits(made.train.values.astype(bool)).tobytes()
    assert made.attrs["splits_sha256"] == hashlib.sha256(bits).hexdigest()


def test_the_stored_correlations_give_the_scores_again(result: Callable[..., xr.Dataset]) -> None:
    made = result(reliability_floor=None, false_discovery_rate=1.0)
    mean_xx, mean_yy = (r.mean(["split", "half"]) for r in (made.r_xx, made.r_yy))
    product = (2 * mean_xx / (1 + mean_xx)).clip(min=0) * (2 * mean_yy / (1 + mean_yy))
    terms = made.r_xy.mean("split") / np.sqrt(product.where(product > 0))
    np.testing.assert_allclose(
        made.noise_corrected_r.values,
        terms.transpose(*made.noise_corrected_r.dims).values,
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        made.r_yy_sb.values, 2 * made.r_yy.values / (1 + made.r_yy.values), rtol=1e-12
    )


@pytest.mark.parametrize("preset", ["pooled", "nayebi2022"])
def test_the_summary_is_json_with_one_row_per_layer_and_null_for_undefined(
    result: Callable[..., xr.Dataset], preset: str
) -> None:
    made = result(preset)
    summary = json.loads(json.dumps(summarise(made)))
    assert summary["series"] == {"layer": ["a", "b"]}
    assert summary["headline"] == "curve"
    assert summary["dims"]["curve"] == ["layer", "time_bin"]
    assert summary["time_bins"] == {"time_bin": [[70 + 10 * i, 80 + 10 * i] for i in range(5)]}
    assert summary["curve"][1][0] is None, "layer b sees the image from 80 ms on, the bin ends then"
    for row, curve in zip(summary["curve"], made.curve.values, strict=True):
        assert row == [None if np.isnan(value) else value for value in curve]
    assert len(summary["ceiling"]) == 5
    assert summary["flags"]["reason"] == {
        name: int((made.reason == REASONS.index(name)).sum()) for name in REASONS
    }
    assert summary["config"]["layers"] == ["a", "b"]
    one = json.loads(json.dumps(summarise(result(preset, layers=("a",)))))
    assert (one["series"], one["dims"]["curve"]) == ({"layer": ["a"]}, ["time_bin"])
    assert len(one["curve"]) == 5


@pytest.mark.parametrize("preset", ["pooled", "nayebi2022"])
def test_tables_have_a_row_for_each_bin_with_the_usual_reason_for_no_score(
    result: Callable[..., xr.Dataset], preset: str
) -> None:
    made = result(preset)
    tables = list(result_tables(made))
    assert [title.split(" against ")[0] for title, _ in tables] == ["m a", "m b"]
    for layer, (_, table) in zip(("a", "b"), tables, strict=True):
        cells = {str(column.header): list(column.cells) for column in table.columns}
        assert cells["ms"] == [f"{start}-{start + 10}" for start in range(70, 120, 10)]
        curve = made.curve.sel(layer=layer).values
        assert cells["score"] == ["-" if np.isnan(value) else f"{value:.2f}" for value in curve]
        for row in np.flatnonzero(np.isnan(curve)):
            reasons = made.reason.sel(layer=layer).values[:, row]
            usual = REASONS[int(np.bincount(reasons).argmax())].replace("_", " ")
            assert cells["interval"][row] == usual
        assert cells["neuroids"] == [str(n) for n in made.n_neuroids.sel(layer=layer).values]
    assert next(iter(tables[1][1].columns[2].cells)) == "before model responds"


@pytest.mark.parametrize("preset", ["pooled", "nayebi2022"])
def test_the_plot_is_a_png_also_of_several_layers_and_of_one_bin(
    result: Callable[..., xr.Dataset], tmp_path: Path, preset: str
) -> None:
    for made in (result(preset), result(preset, window=(80, 90))):
        plot_result(made, tmp_path / "curve.png")
        assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
