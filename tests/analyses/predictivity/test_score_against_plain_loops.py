"""A whole score, recomputed from the trials by plain loops over scikit-learn and scipy."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import pearsonr
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedShuffleSplit

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.score import score
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RELATIVE_ALPHAS, RidgeMapping
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet
from neurofit.recordings.trials import split_halves

N_STIMULI, N_UNITS, N_BINS, N_COMPONENTS = 60, 30, 3, 4

MAPPINGS = {"pls": PLSMapping(n_components=N_COMPONENTS), "ridge": RidgeMapping()}


@pytest.fixture(scope="module")
def planted() -> tuple[Activations, Recording]:
    """Return a recording with ids, presentations, repetitions and areas in no order."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((N_BINS, N_STIMULI, N_UNITS)) + 3.0
    ids = np.array([f"image{i}" for i in rng.permutation(1000)[:N_STIMULI]])
    objects = np.repeat(["cat", "dog", "owl"], N_STIMULI // 3)
    times = rng.integers(4, 9, N_STIMULI)
    stimulus = np.repeat(np.arange(N_STIMULI), times)
    repetition = np.concatenate([np.arange(n) for n in times])
    order = rng.permutation(len(stimulus))
    region = np.array(["V4", "IT", "V4", "IT", "IT", "V4", "IT", "IT"])
    rates = np.einsum("bsu,un->bsn", features, rng.standard_normal((N_UNITS, len(region))) / 5)
    trials = rates[:, stimulus] + rng.standard_normal((N_BINS, len(stimulus), len(region)))
    responses = xr.DataArray(
        trials.transpose(1, 2, 0)[order].astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", ids[stimulus][order]),
            "repetition": ("presentation", repetition[order]),
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(len(region))]),
            "region": ("neuroid", region),
            "time_bin_start": ("time_bin", 10 * np.arange(N_BINS)),
            "time_bin_end": ("time_bin", 10 * np.arange(N_BINS) + 10),
        },
    )
    stimuli = StimulusSet(
        name="s",
        table=pd.DataFrame({"stimulus_id": ids, "object_name": objects, "category": objects}),
        images=np.zeros((N_STIMULI, 2, 2, 3), np.uint8),
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    activations = Activations(
        model="planted",
        stimulus_ids=ids,
        blocks={("layer", step): features[step].astype(np.float32) for step in range(N_BINS)},
        first_timestep={"layer": 0},
        ms_per_timestep=10,
        n_timesteps=N_BINS,
        region_layers={"IT": ("layer",)},
    )
    return activations, Recording(
        name="planted", responses=responses, stimuli=stimuli, simulated=True
    )


def mean_of(trials: np.ndarray, stimulus: np.ndarray) -> np.ndarray:
    return np.stack([trials[stimulus == i].mean(axis=0) for i in range(N_STIMULI)])


def fit_predict(
    mapping: str, x: np.ndarray, whole: np.ndarray, y: np.ndarray, train: np.ndarray
) -> np.ndarray:
    """Fit y on the training rows with scikit-learn; `whole` chooses the penalties of ridge."""
    if mapping == "pls":
        return np.asarray(
            PLSRegression(N_COMPONENTS, scale=False).fit(x[train], y[train]).predict(x[~train])
        )
    centred = x[train] - x[train].mean(axis=0)
    alphas = np.array(RELATIVE_ALPHAS) * (centred**2).sum() / train.sum()
    stimulus = np.tile(np.arange(N_STIMULI), len(x) // N_STIMULI)[train]
    if len(x) == N_STIMULI:
        chosen = RidgeCV(alphas, alpha_per_target=True).fit(x[train], whole[train]).alpha_
    else:  # a stimulus is left out with all its time bins
        errors = np.zeros((len(alphas), whole.shape[1]))
        for i in np.unique(stimulus):
            inside, out = stimulus != i, stimulus == i
            for a, alpha in enumerate(alphas):
                predicted = (
                    Ridge(alpha).fit(x[train][inside], whole[train][inside]).predict(x[train][out])
                )
                errors[a] += ((predicted - whole[train][out]) ** 2).sum(axis=0)
        chosen = alphas[errors.argmin(axis=0)]
    return np.asarray(Ridge(chosen).fit(x[train], y[train]).predict(x[~train]))


def plain_correlations(
    activations: Activations, recording: Recording, config: ScoreConfig, *, mapping: str = "pls"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return r_xy (split neuroid bin), r_xx and r_yy (split half neuroid bin), by loops."""
    area = recording.responses.values[:, recording.responses.region.values == "IT"].astype(float)
    row_of = {name: row for row, name in enumerate(recording.stimuli.ids)}
    stimulus = np.array([row_of[name] for name in recording.responses.stimulus_id.values])
    strata = recording.stimuli.table[config.strata]
    splitter = (StratifiedShuffleSplit if config.stratified else ShuffleSplit)(
        config.n_splits, train_size=config.train_size, random_state=config.seed
    )
    halves = split_halves(
        stimulus,
        n_halves=config.n_halves,
        seed=config.seed,
        by=config.halves_by,
        repetition=recording.responses.repetition.values,
    )
    n = area.shape[1]
    r_xy = np.empty((config.n_splits, n, N_BINS))
    r_xx, r_yy = np.empty((2, config.n_splits, config.n_halves, n, N_BINS))
    groups = (
        [[b] for b in range(N_BINS)] if config.time_mode == "per-bin" else [list(range(N_BINS))]
    )
    for k, (rows, _) in enumerate(splitter.split(np.zeros(N_STIMULI), strata)):
        train = np.isin(np.arange(N_STIMULI), rows)
        for group in groups:
            x = np.concatenate([activations.blocks["layer", b].astype(float) for b in group])
            stacked = np.tile(train, len(group))
            whole = np.concatenate([mean_of(area[:, :, b], stimulus) for b in group])
            predicted = np.split(fit_predict(mapping, x, whole, whole, stacked), len(group))
            for i, b in enumerate(group):
                truth = mean_of(area[:, :, b], stimulus)[~train]
                r_xy[k, :, b] = [
                    pearsonr(predicted[i][:, s], truth[:, s]).statistic for s in range(n)
                ]
            for h, half in enumerate(halves):
                means = [
                    np.concatenate([mean_of(area[side][:, :, b], stimulus[side]) for b in group])
                    for side in (half, ~half)
                ]
                maps = [
                    np.split(fit_predict(mapping, x, whole, y, stacked), len(group)) for y in means
                ]
                for i, b in enumerate(group):
                    one, two = (np.split(y, len(group))[i] for y in means)
                    over = slice(None) if config.ceiling_stimuli == "all" else ~train
                    r_yy[k, h, :, b] = [
                        pearsonr(one[over][:, s], two[over][:, s]).statistic for s in range(n)
                    ]
                    r_xx[k, h, :, b] = [
                        pearsonr(maps[0][i][:, s], maps[1][i][:, s]).statistic for s in range(n)
                    ]
    return r_xy, r_xx, r_yy


@pytest.mark.parametrize("preset", ["nayebi2022", "brainscore"])
@pytest.mark.parametrize("mapping", ["pls", "ridge"])
@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
def test_every_number_equals_that_of_plain_loops(
    planted: tuple[Activations, Recording], preset: str, mapping: str, time_mode: str
) -> None:
    activations, recording = planted
    options = {
        "time_mode": time_mode,
        "n_splits": 3,
        "n_halves": 2,
        "n_bootstraps": 10,
        "fit_halves": True,
    }
    config = make_config(preset, mapping=MAPPINGS[mapping], **options)
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = plain_correlations(activations, recording, config, mapping=mapping)
    np.testing.assert_allclose(result.r_xy.values[0], r_xy, atol=1e-6)
    np.testing.assert_allclose(result.r_xx.values[0], r_xx, atol=1e-6)
    np.testing.assert_allclose(result.r_yy.values, r_yy, atol=1e-10)

    corrected_xx, corrected_yy = (2 * r / (1 + r) for r in (r_xx, r_yy))
    mean_yy = corrected_yy.mean(axis=(0, 1))
    product = corrected_xx.mean(axis=(0, 1)) * mean_yy
    by_terms = r_xy.mean(axis=0) / np.sqrt(np.where(product > 0, product, np.nan))
    assert (result.reason.values == 0).all(), "the planted neuroids are all reliable"
    np.testing.assert_allclose(
        result.curve_noise_corrected_r.values[0], np.nanmedian(by_terms, axis=0), atol=1e-6
    )
    explained = np.median(r_xy, axis=1).mean(axis=0) ** 2 / np.median(corrected_yy, axis=2).mean(
        axis=(0, 1)
    )
    np.testing.assert_allclose(result.curve_explained_variance.values[0], explained, atol=1e-6)
    shown = {
        "nayebi2022": result.curve_noise_corrected_r,
        "brainscore": result.curve_explained_variance,
    }
    np.testing.assert_array_equal(result.curve.values, shown[preset].values)


def test_the_raw_curve_is_the_median_over_neuroids_of_means_over_splits(
    planted: tuple[Activations, Recording],
) -> None:
    options = {"mapping": MAPPINGS["pls"], "n_splits": 3, "n_halves": 2, "n_bootstraps": 10}
    config = make_config("nayebi2022", **options)
    r_xy, _, _ = plain_correlations(*planted, config)
    activations, recording = planted
    result = score(activations, recording.select(region="IT"), config)
    assert (result.reason.values == 0).all()
    expected = np.median(r_xy.mean(axis=0), axis=0)
    np.testing.assert_allclose(result.curve_r_xy.values[0], expected, atol=1e-6)


def test_correlations_are_averaged_before_both_reliabilities_are_corrected(
    planted: tuple[Activations, Recording],
) -> None:
    options = {"mapping": MAPPINGS["pls"], "n_splits": 3, "n_halves": 2, "n_bootstraps": 10}
    config = make_config("nayebi2022", average="correlations", **options)
    activations, recording = planted
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = plain_correlations(*planted, config)
    mean_xx, mean_yy = (r.mean(axis=(0, 1)) for r in (r_xx, r_yy))
    product = (2 * mean_xx / (1 + mean_xx)) * (2 * mean_yy / (1 + mean_yy))
    expected = r_xy.mean(axis=0) / np.sqrt(product)
    np.testing.assert_allclose(result.noise_corrected_r.values[0], expected, atol=1e-6)
    np.testing.assert_allclose(result.curve.values[0], np.median(expected, axis=0), atol=1e-6)
    assert result.curve.attrs["formula"].endswith(
        "median over neuroids, correlations averaged first"
    )


def test_auto_chooses_the_layers_that_plain_loops_over_held_out_training_stimuli_choose(
    planted: tuple[Activations, Recording],
) -> None:
    activations, recording = planted
    rng, seed, layers = np.random.default_rng(7), 5, ("a", "b", "c", "d", "e", "f")
    blocks = {}
    for layer in layers:
        for step in range(N_BINS):
            noise = rng.standard_normal((N_STIMULI, N_UNITS))
            blocks[layer, step] = (activations.blocks["layer", step] + noise).astype(np.float32)
    several = replace(
        activations,
        blocks=blocks,
        first_timestep=dict.fromkeys(layers, 0),
        region_layers={"IT": layers},
    )
    mapping = RidgeMapping(alphas=(20.0,))
    config = make_config(
        "nayebi2022", mapping=mapping, n_splits=8, n_halves=1, seed=seed, n_bootstraps=10
    )
    result = score(several, recording.select(region="IT"), config)
    trials = recording.responses.values[:, recording.responses.region.values == "IT"].astype(float)
    means = mean_of(trials, recording.stimulus_rows)  # (stimulus neuroid bin)
    expected = []
    for split, train in enumerate(result.train.values.astype(bool)):
        rows = np.flatnonzero(train)
        shuffled = np.random.default_rng(seed + split).permutation(rows)
        fitted, held_out = np.split(shuffled, [round(0.8 * len(rows))])
        quality = []
        for layer in layers:
            medians = []
            for b in range(N_BINS):
                x, y = blocks[layer, b].astype(float), means[:, :, b]
                predicted = Ridge(20.0).fit(x[fitted], y[fitted]).predict(x[held_out])
                pairs = zip(predicted.T, y[held_out].T, strict=True)
                medians.append(np.median([pearsonr(*pair).statistic for pair in pairs]))
            quality.append(np.mean(medians))
        expected.append(layers[int(np.argmax(quality))])
    assert len(set(expected)) > 2, "the held-out stimuli decide among equally good layers"
    assert result.layer_choice.values.tolist() == expected


def test_streams2018_is_the_squared_mean_over_the_mean_reliabilities(
    planted: tuple[Activations, Recording],
) -> None:
    config = make_config(
        "streams2018",
        mapping=MAPPINGS["pls"],
        n_splits=3,
        n_halves=2,
        n_bootstraps=10,
    )
    activations, recording = planted
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = plain_correlations(*planted, config)
    corrected_xx, corrected_yy = ((2 * r / (1 + r)).mean(axis=(0, 1)) for r in (r_xx, r_yy))
    squares = r_xy.mean(axis=0) ** 2 / (corrected_xx * corrected_yy)
    np.testing.assert_allclose(result.curve.values[0], np.median(squares, axis=0), atol=1e-6)
    assert (
        result.curve.attrs["formula"]
        == "noise_corrected_r2 = r_xy^2 / (r_xx * r_yy), median over neuroids, terms averaged first"
    )


def test_mouse_divides_in_every_split_and_half_and_averages_then(
    planted: tuple[Activations, Recording],
) -> None:
    config = make_config("mouse", mapping=MAPPINGS["pls"], n_splits=3, n_halves=4, n_bootstraps=10)
    assert (config.train_size, make_config("mouse").n_halves) == (0.5, 100)
    activations, recording = planted
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = plain_correlations(*planted, config)
    products = (2 * r_xx / (1 + r_xx)) * (2 * r_yy / (1 + r_yy))
    # (split half neuroid bin)
    ratios = r_xy[:, None] / np.sqrt(np.where(products > 0, products, np.nan))
    np.testing.assert_allclose(
        result.curve.values[0], np.median(np.nanmean(ratios, axis=(0, 1)), axis=0), atol=1e-6
    )
    assert result.curve.attrs["formula"].endswith(
        "median over neuroids, averaged after the division"
    )


@pytest.mark.parametrize(
    ("mapping", "time_mode"), [("pls", "per-bin"), ("pls", "fixed"), ("ridge", "per-bin")]
)
def test_kar2019_correlates_the_predictions_of_all_folds_together(
    planted: tuple[Activations, Recording], mapping: str, time_mode: str
) -> None:
    activations, recording = planted
    config = make_config(
        "kar2019",
        mapping=MAPPINGS[mapping],
        time_mode=time_mode,
        n_splits=4,
        n_halves=2,
        n_bootstraps=10,
    )
    result = score(activations, recording.select(region="IT"), config)
    trials = recording.responses.values[:, recording.responses.region.values == "IT"].astype(float)
    rows, n = recording.stimulus_rows, trials.shape[1]
    halves = split_halves(rows, n_halves=2, seed=0)
    everything = np.ones(len(rows), dtype=bool)
    groups = [[b] for b in range(N_BINS)] if time_mode == "per-bin" else [list(range(N_BINS))]

    def predict(chosen: np.ndarray, group: list[int]) -> np.ndarray:
        """Return predictions by maps that their fold did not train: (bin stimulus neuroid)."""
        x = np.concatenate([activations.blocks["layer", b].astype(float) for b in group])
        whole, y = (
            np.concatenate([mean_of(trials[c][:, :, b], rows[c]) for b in group])
            for c in (everything, chosen)
        )
        predicted = np.empty_like(y)
        for inside, _ in KFold(4, shuffle=True, random_state=0).split(np.zeros(N_STIMULI)):
            train = np.tile(np.isin(np.arange(N_STIMULI), inside), len(group))
            predicted[~train] = fit_predict(mapping, x, whole, y, train)
        return predicted.reshape(len(group), N_STIMULI, n)

    for group in groups:
        predictions = [predict(c, group) for c in (everything, *halves, *~halves)]
        for i, b in enumerate(group):
            truth = [mean_of(trials[c][:, :, b], rows[c]) for c in (everything, *halves, *~halves)]
            for s in range(n):
                r_xy = pearsonr(predictions[0][i][:, s], truth[0][:, s]).statistic
                r_xx, r_yy = (
                    np.array([pearsonr(p[1 + h][:, s], p[3 + h][:, s]).statistic for h in range(2)])
                    for p in ([prediction[i] for prediction in predictions], truth)
                )
                np.testing.assert_allclose(result.r_xy.values[0, 0, s, b], r_xy, atol=1e-6)
                np.testing.assert_allclose(result.r_xx.values[0, 0, :, s, b], r_xx, atol=1e-6)
                np.testing.assert_allclose(result.r_yy.values[0, :, s, b], r_yy, atol=1e-6)
    xx, yy = (2 * r / (1 + r) for r in (result.r_xx.values[0, 0], result.r_yy.values[0]))
    per_cent = 100 * (result.r_xy.values[0, 0] / np.sqrt(xx.mean(axis=0) * yy.mean(axis=0))) ** 2
    np.testing.assert_allclose(result.curve.values[0], np.median(per_cent, axis=0), rtol=1e-9)
    assert result.curve.attrs["formula"].startswith(
        "percent_explained_variance = 100 (r_xy / sqrt(r_xx * r_yy))^2"
    )
    assert result.train.dims == ("fold", "stimulus")
    assert (result.train.values == 0).sum(axis=0).tolist() == [1] * N_STIMULI
