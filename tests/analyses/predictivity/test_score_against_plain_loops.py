"""A whole score, recomputed from the trials by plain loops over scikit-learn and scipy."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import brentq
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
from neurofit.recordings.trials import deal_trials

N_STIMULI, N_UNITS, N_BINS, N_COMPONENTS = 60, 30, 3, 4

MAPPINGS = {
    "pls": PLSMapping(n_components=N_COMPONENTS, convergence="sklearn"),
    "ridge": RidgeMapping(),
}


@pytest.fixture(scope="module")
def planted() -> tuple[Activations, Recording]:
    """Five neuroids of IT, and three of V4."""
    return plant(["V4", "IT", "V4", "IT", "IT", "V4", "IT", "IT"], noise=np.ones(8))


@pytest.fixture(scope="module")
def many() -> tuple[Activations, Recording]:
    """24 neuroids of IT, enough for three strata, whose reliabilities differ."""
    return plant(["IT", "V4", "IT"] * 10 + ["IT"] * 4, noise=np.geomspace(0.7, 4, 34))


def plant(areas: list[str], *, noise: np.ndarray) -> tuple[Activations, Recording]:
    """Return a recording with ids, presentations, repetitions and areas in no order."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((N_BINS, N_STIMULI, N_UNITS)) + 3.0
    ids = np.array([f"image{i}" for i in rng.permutation(1000)[:N_STIMULI]])
    objects = np.repeat(["cat", "dog", "owl"], N_STIMULI // 3)
    times = rng.integers(4, 9, N_STIMULI)
    stimulus = np.repeat(np.arange(N_STIMULI), times)
    repetition = np.concatenate([np.arange(n) for n in times])
    order = rng.permutation(len(stimulus))
    region = np.array(areas)
    rates = np.einsum("bsu,un->bsn", features, rng.standard_normal((N_UNITS, len(region))) / 5)
    trials = rates[:, stimulus] + noise * rng.standard_normal((N_BINS, len(stimulus), len(region)))
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


def shares_of(recording: Recording, config: ScoreConfig) -> np.ndarray:
    """Return the means over stimuli of 1 / number of trials: (half, first second all)."""
    rows = recording.stimulus_rows
    if config.halves_by == "repetition":  # as Brain-Score, which takes halves for equal
        return np.tile([2.0, 2.0, 1.0], (config.n_halves, 1))
    places = deal_trials(rows, n_halves=config.n_halves, seed=config.seed)
    everything = np.ones(len(rows), dtype=bool)
    return np.array(
        [
            [
                np.mean([1 / (rows[chosen] == i).sum() for i in range(N_STIMULI)])
                for chosen in (place % 2 == 0, place % 2 == 1, everything)
            ]
            for place in places
        ]
    )


@np.vectorize
def reliability(r: float, first: float, second: float, whole: float) -> float:
    """Solve r = S / sqrt((S + c1) (S + c2)) for the signal S, and return S / (S + c)."""

    def excess(signal: float) -> float:
        return float(signal / np.sqrt((signal + first) * (signal + second))) - r

    lowest = -min(first, second) * (1 - 1e-12)
    ends = (0.0, 1e6) if r > 0 else (lowest, 0.0)
    signal: float = brentq(excess, *ends, xtol=1e-15, rtol=1e-14)
    return float(signal / (signal + whole)) if signal + whole > 0 else float("nan")


def of_mean(r: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the reliability of correlations (split half ...) that are averaged first."""
    return np.asarray(reliability(r.mean(axis=(0, 1)), *shares.mean(axis=0)))


def of_each(r: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the reliability of each correlation (split half ...)."""
    return np.asarray(reliability(r, *shares.T[:, None, :, None, None]))


def levels(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return for each row the mean of its time bin over the training rows."""
    bins = len(values) // N_STIMULI
    pairs = zip(np.split(values, bins), np.split(train, bins), strict=True)
    means = np.stack([part[rows].mean(axis=0) for part, rows in pairs])
    return np.repeat(means, N_STIMULI, axis=0)


def fit_predict(
    mapping: str,
    x: np.ndarray,
    whole: np.ndarray,
    y: np.ndarray,
    train: np.ndarray,
    *,
    intercept: str = "shared",
) -> np.ndarray:
    """Fit y on the training rows with scikit-learn; `whole` chooses the penalties of ridge."""
    if intercept == "per-bin":
        if mapping == "ridge":
            chosen = choose_centred(x, whole, train)
            x, level = x - levels(x, train), levels(y, train)
            fitted = Ridge(chosen).fit(x[train], (y - level)[train])
            return np.asarray(fitted.predict(x[~train]) + level[~train])
        x, level = x - levels(x, train), levels(y, train)
        predicted = fit_predict(mapping, x, whole, y - level, train)
        return np.asarray(predicted + level[~train])
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


def choose_centred(x: np.ndarray, whole: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Leave out a stimulus with all its bins, centre each bin on the others, and predict it."""
    size = ((x - levels(x, train))[train] ** 2).sum() / train.sum()
    alphas = np.array(RELATIVE_ALPHAS) * size
    stimulus = np.tile(np.arange(N_STIMULI), len(x) // N_STIMULI)
    errors = np.zeros((len(alphas), whole.shape[1]))
    for i in np.unique(stimulus[train]):
        rest, out = train & (stimulus != i), stimulus == i
        a, b = x - levels(x, rest), whole - levels(whole, rest)
        for position, alpha in enumerate(alphas):
            predicted = Ridge(alpha).fit(a[rest], b[rest]).predict(a[out])
            errors[position] += ((predicted - b[out]) ** 2).sum(axis=0)
    return np.asarray(alphas[errors.argmin(axis=0)])


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
    places = deal_trials(
        stimulus,
        n_halves=config.n_halves,
        seed=config.seed,
        by=config.halves_by,
        repetition=recording.responses.repetition.values,
    )
    halves = places % 2 == 0
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
            own = {"intercept": config.intercept if len(group) > 1 else "shared"}
            predicted = np.split(fit_predict(mapping, x, whole, whole, stacked, **own), len(group))
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
                    np.split(fit_predict(mapping, x, whole, y, stacked, **own), len(group))
                    for y in means
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
@pytest.mark.parametrize(
    ("time_mode", "intercept"), [("per-bin", "per-bin"), ("fixed", "per-bin"), ("fixed", "shared")]
)
def test_every_number_equals_that_of_plain_loops(
    planted: tuple[Activations, Recording],
    preset: str,
    mapping: str,
    time_mode: str,
    intercept: str,
) -> None:
    activations, recording = planted
    options = {
        "time_mode": time_mode,
        "intercept": intercept,
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

    shares = shares_of(recording, config)
    assert (result.reason.values == 0).all(), "the planted neuroids are all reliable"
    for average, correct in (
        ("correlations", of_mean),
        ("terms", lambda *given: of_each(*given).mean(axis=(0, 1))),
    ):
        xx, yy = (correct(r, shares) for r in (r_xx, r_yy))
        floor = config.reliability_floor or 0.0  # a less consistent map counts as this
        product = np.maximum(xx, floor) * yy
        expected = r_xy.mean(axis=0) / np.sqrt(np.where(product > 0, product, np.nan))
        found = result[f"noise_corrected_r_of_{average}"].values[0]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        if config.average == average:
            np.testing.assert_allclose(
                result.curve_noise_corrected_r.values[0], np.nanmedian(expected, axis=0), atol=1e-6
            )
    halves_yy = reliability(r_yy, *shares.mean(axis=0))
    ceiling = np.median(halves_yy, axis=2).mean(axis=(0, 1))
    explained = np.median(r_xy, axis=1).mean(axis=0) ** 2 / ceiling
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
    config = make_config("nayebi2022", **options)
    assert config.average == "correlations"
    activations, recording = planted
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = plain_correlations(*planted, config)
    xx, yy = (of_mean(r, shares_of(recording, config)) for r in (r_xx, r_yy))
    mean_yy = r_yy.mean(axis=(0, 1))
    assert abs(yy - 2 * mean_yy / (1 + mean_yy)).max() > 1e-3, "halves are not equal"
    expected = r_xy.mean(axis=0) / np.sqrt(xx * yy)
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


def test_streams2018_is_the_signed_square_of_the_mean_over_the_reliabilities_of_means(
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
    xx, yy = (of_mean(r, shares_of(recording, config)) for r in (r_xx, r_yy))
    mean = r_xy.mean(axis=0)
    squares = np.sign(mean) * mean**2 / (xx * yy)
    np.testing.assert_allclose(result.curve.values[0], np.median(squares, axis=0), atol=1e-6)
    assert result.curve.attrs["formula"] == (
        "noise_corrected_r2 = r_xy |r_xy| / (r_xx * r_yy), median over neuroids, "
        "correlations averaged first"
    )


def test_mouse_divides_in_every_split_and_half_and_averages_then(
    planted: tuple[Activations, Recording],
) -> None:
    config = make_config("mouse", mapping=MAPPINGS["pls"], n_splits=3, n_halves=4, n_bootstraps=10)
    assert (config.train_size, make_config("mouse").n_halves) == (0.5, 100)
    activations, recording = planted
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = plain_correlations(*planted, config)
    xx, yy = (of_each(r, shares_of(recording, config)) for r in (r_xx, r_yy))
    products = np.maximum(xx, config.reliability_floor or 0.0) * yy  # (split half neuroid bin)
    ratios = r_xy[:, None] / np.sqrt(np.where(products > 0, products, np.nan))
    np.testing.assert_allclose(
        result.curve.values[0], np.median(np.nanmean(ratios, axis=(0, 1)), axis=0), atol=1e-6
    )
    assert result.curve.attrs["formula"].endswith(
        "median over neuroids, averaged after the division"
    )


@pytest.mark.parametrize("splits", ["folds", "folds-together"])
@pytest.mark.parametrize(
    ("mapping", "time_mode", "intercept"),
    [
        ("pls", "per-bin", "per-bin"),
        ("pls", "fixed", "per-bin"),
        ("pls", "fixed", "shared"),
        ("ridge", "per-bin", "per-bin"),
    ],
)
def test_kar2019_correlates_within_folds_or_over_all_together(
    planted: tuple[Activations, Recording],
    mapping: str,
    time_mode: str,
    intercept: str,
    splits: str,
) -> None:
    activations, recording = planted
    options = {
        "mapping": MAPPINGS[mapping],
        "time_mode": time_mode,
        "intercept": intercept,
        "n_splits": 4,
        "n_halves": 2,
        "n_bootstraps": 10,
    }
    assert make_config("kar2019").splits == "folds"
    config = make_config("kar2019", splits=splits, **options)
    result = score(activations, recording.select(region="IT"), config)
    trials = recording.responses.values[:, recording.responses.region.values == "IT"].astype(float)
    rows, n = recording.stimulus_rows, trials.shape[1]
    halves = deal_trials(rows, n_halves=2, seed=0) % 2 == 0
    everything = np.ones(len(rows), dtype=bool)
    groups = [[b] for b in range(N_BINS)] if time_mode == "per-bin" else [list(range(N_BINS))]
    kfold = KFold(4, shuffle=True, random_state=0)
    folds = [out for _, out in kfold.split(np.zeros(N_STIMULI))]
    over = folds if splits == "folds" else [np.arange(N_STIMULI)]

    def predict(chosen: np.ndarray, group: list[int]) -> np.ndarray:
        """Return predictions by maps that their fold did not train: (bin stimulus neuroid)."""
        x = np.concatenate([activations.blocks["layer", b].astype(float) for b in group])
        whole, y = (
            np.concatenate([mean_of(trials[c][:, :, b], rows[c]) for b in group])
            for c in (everything, chosen)
        )
        predicted = np.empty_like(y)
        own = {"intercept": intercept if len(group) > 1 else "shared"}
        for out in folds:
            train = np.tile(~np.isin(np.arange(N_STIMULI), out), len(group))
            predicted[~train] = fit_predict(mapping, x, whole, y, train, **own)
        return predicted.reshape(len(group), N_STIMULI, n)

    r_xy = np.empty((len(over), n, N_BINS))
    r_xx, r_yy = np.empty((2, len(over), 2, n, N_BINS))
    for group in groups:
        predictions = [predict(c, group) for c in (everything, *halves, *~halves)]
        for i, b in enumerate(group):
            shown = [each[i] for each in predictions]
            truth = [mean_of(trials[c][:, :, b], rows[c]) for c in (everything, *halves, *~halves)]
            for k, test in enumerate(over):
                for s in range(n):
                    r_xy[k, s, b] = pearsonr(shown[0][test, s], truth[0][test, s]).statistic
                    for h in range(2):
                        for r, sets in ((r_xx, shown), (r_yy, truth)):
                            pair = sets[1 + h][test, s], sets[3 + h][test, s]
                            r[k, h, s, b] = pearsonr(*pair).statistic
    np.testing.assert_allclose(result.r_xy.values[0], r_xy, atol=1e-6)
    np.testing.assert_allclose(result.r_xx.values[0], r_xx, atol=1e-6)
    np.testing.assert_allclose(result.r_yy.values, r_yy, atol=1e-6)
    xx, yy = (of_mean(r, shares_of(recording, config)) for r in (r_xx, r_yy))
    mean = r_xy.mean(axis=0)
    per_cent = 100 * mean * abs(mean) / (xx * yy)
    np.testing.assert_allclose(result.curve.values[0], np.median(per_cent, axis=0), atol=1e-4)
    assert result.curve.attrs["formula"].startswith(
        "percent_explained_variance = 100 r_xy |r_xy| / (r_xx * r_yy)"
    )
    assert result.train.dims == ("split" if splits == "folds" else "fold", "stimulus")
    assert (result.train.values == 0).sum(axis=0).tolist() == [1] * N_STIMULI


@pytest.mark.parametrize(
    ("mapping", "time_mode"), [("ridge", "per-bin"), ("pls", "per-bin"), ("pls", "fixed")]
)
def test_pooled_is_a_ratio_of_sums_over_strata_by_reliability_on_training_stimuli(
    many: tuple[Activations, Recording], mapping: str, time_mode: str
) -> None:
    activations, recording = many
    options = {"time_mode": time_mode, "n_splits": 3, "n_halves": 3}
    config = make_config("pooled", mapping=MAPPINGS[mapping], **options)
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = plain_correlations(activations, recording, config, mapping=mapping)
    np.testing.assert_allclose(result.r_xy.values[0], r_xy, atol=1e-6)
    np.testing.assert_allclose(result.r_xx.values[0], r_xx, atol=1e-6)
    n, n_strata = r_xy.shape[1], 3
    assert n == 24, "eight neuroids a stratum"

    trials = recording.responses.values[:, recording.responses.region.values == "IT"].astype(float)
    rows = recording.stimulus_rows
    halves = deal_trials(rows, n_halves=3, seed=0) % 2 == 0
    trains = result.train.values.astype(bool)
    strata, on_test = np.empty((2, 3, n), dtype=int)
    for k, train in enumerate(trains):
        for chosen, dealt in ((train, strata), (~train, on_test)):
            z = np.zeros(n)
            for half in halves:
                one, two = mean_of(trials[half], rows[half]), mean_of(trials[~half], rows[~half])
                for b in range(N_BINS):
                    for s in range(n):
                        pair = one[chosen, s, b], two[chosen, s, b]
                        z[s] += pearsonr(*pair).statistic / (3 * N_BINS)
            if chosen is train:
                np.testing.assert_allclose(result.training_r_yy.values[k], z, atol=1e-10)
            for place, s in enumerate(sorted(range(n), key=lambda s: z[s])):
                dealt[k, s] = place // 8
    np.testing.assert_array_equal(result.stratum_of_neuroid.values, strata)
    assert (strata != on_test).any(axis=1).all(), "test stimuli would make other strata"

    shares = shares_of(recording, config).mean(axis=0)
    for b in range(N_BINS):
        x, p, y = np.empty((3, n_strata))
        for j in range(n_strata):
            members = [(k, s) for k in range(3) for s in range(n) if strata[k, s] == j]
            x[j] = np.mean([r_xy[k, s, b] for k, s in members])
            p[j], y[j] = (
                reliability(np.mean([r[k, :, s, b].mean() for k, s in members]), *shares)
                for r in (r_xx, r_yy)
            )
        for name, expected in (("r_xy", x), ("r_xx", p), ("r_yy", y)):
            np.testing.assert_allclose(
                result[f"pooled_{name}"].values[0, :, b], expected, atol=1e-6
            )
        assert np.ptp(y) > 0.2, "reliabilities differ"
        assert float(result.curve[0, b]) == pytest.approx(x.sum() / np.sqrt(p * y).sum(), abs=1e-6)
        one_sided = x.sum() / np.sqrt(y).sum()
        assert float(result.curve_one_sided[0, b]) == pytest.approx(one_sided, abs=1e-6)
        assert float(result.ceiling[b]) == pytest.approx(y.mean(), abs=1e-6)
    assert (result.n_neuroids.values == n).all()
    assert result.curve.attrs["formula"] == (
        "pooled_r = sum_j X_j / sum_j sqrt(P_j Y_j), where X_j, P_j and Y_j are r_xy, r_xx and "
        "r_yy pooled over the neuroids of stratum j"
    )
