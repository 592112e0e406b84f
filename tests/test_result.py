"""A result keeps everything it was made of: saved, opened again and summarised, nothing is lost."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.assemblies import Recording
from neurofit.extract import Activations
from neurofit.plot import plot_curve
from neurofit.presets import make_config
from neurofit.result import bin_groups, save_result, summarise
from neurofit.score import score

Make = Callable[..., Recording]


@pytest.fixture
def result(make_recording: Make) -> Callable[..., xr.Dataset]:
    recording = make_recording(n_stimuli=40, n_repetitions=6, n_neuroids=5, n_bins=5)
    rng = np.random.default_rng(0)
    blocks = {(layer, step): rng.standard_normal((40, 9)).astype(np.float32) for layer in ("a", "b") for step in range(12)}

    def make(**changes: Any) -> xr.Dataset:
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
        options = {"mapping": "ridge", "n_splits": 2, "n_halves": 2, "n_bootstraps": 20, "layers": ("a", "b"), **changes}
        return score(activations, recording, make_config("nayebi2022", region="IT", **options))

    return make


def test_a_saved_result_is_the_same_when_opened(result: Callable[..., xr.Dataset], tmp_path: Path) -> None:
    made = result()
    save_result(made, tmp_path / "result.nc")
    xr.testing.assert_identical(made, xr.load_dataset(tmp_path / "result.nc", engine="h5netcdf"))


def test_the_attributes_tell_how_it_was_made(result: Callable[..., xr.Dataset]) -> None:
    attrs = result().attrs
    config = json.loads(attrs["config"])
    assert (config["n_splits"], config["seed"], config["layers"]) == (2, 0, ["a", "b"])
    assert json.loads(attrs["activations"])["weights_sha256"] == "abc"
    assert set(json.loads(attrs["versions"])) == {"neurofit", "numpy", "scipy", "scikit-learn", "xarray", "torch"}
    assert attrs["splits_sha256"] == result().attrs["splits_sha256"] != result(seed=1).attrs["splits_sha256"]


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
    made = result(reliability_floor=-1.0, false_discovery_rate=1.0)
    product = made.r_xx_sb.mean(["split", "half"]) * made.r_yy_sb.mean(["split", "half"])
    terms = made.r_xy.mean("split") / np.sqrt(product.where(product > 0))
    np.testing.assert_allclose(made.noise_corrected_r.values, terms.transpose(*made.noise_corrected_r.dims).values, rtol=1e-12)
    np.testing.assert_allclose(made.r_yy_sb.values, 2 * made.r_yy.values / (1 + made.r_yy.values), rtol=1e-12)


def test_the_summary_is_json_with_one_entry_per_layer_and_null_for_undefined(result: Callable[..., xr.Dataset]) -> None:
    summary = json.loads(json.dumps(summarise(result())))
    assert summary["layer"] == ["a", "b"]
    assert summary["curve"]["b"][0] is None, "layer b sees the image from 80 ms on, the bin ends there"
    assert len(summary["ceiling"]) == 5
    assert json.loads(json.dumps(summarise(result(layers=("a",)))))["layer"] == "a"


def test_tables_join_neighbouring_bins(result: Callable[..., xr.Dataset]) -> None:
    rows = bin_groups(result(), 0, most=3)
    assert [(start, end) for start, end, _ in rows] == [(70, 90), (90, 110), (110, 120)]


def test_the_picture_is_a_png_also_of_several_layers_and_of_one_bin(result: Callable[..., xr.Dataset], tmp_path: Path) -> None:
    for made in (result(), result(window=(80, 90))):
        plot_curve(made, tmp_path / "curve.png")
        assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
