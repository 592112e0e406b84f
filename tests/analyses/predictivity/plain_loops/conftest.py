"""A whole score, recomputed from the trials by plain loops over scikit-learn and scipy."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import brentq
from scipy.stats import pearsonr
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RELATIVE_ALPHAS, RidgeMapping
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet
from neurofit.recordings.trials import deal_trials

N_STIMULI, N_UNITS, N_BINS, N_COMPONENTS = 60, 30, 3, 4

Choice = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_chosen: dict[tuple[Choice, bytes, bytes, bytes], np.ndarray] = {}


@pytest.fixture(scope="module")
def planted() -> tuple[Activations, Recording]:
    """Five neuroids of IT, and three of V4."""
    return plant(["V4", "IT", "V4", "IT", "IT", "V4", "IT", "IT"], noise=np.ones(8))


@pytest.fixture(scope="module")
def many() -> tuple[Activations, Recording]:
    """24 neuroids of IT, enough for three strata, whose reliabilities differ."""
    return plant(["IT", "V4", "IT"] * 10 + ["IT"] * 4, noise=np.geomspace(0.7, 4, 34))


@pytest.fixture(scope="session")
def loops() -> SimpleNamespace:
    """Share the plain loops below, the numbers of what is planted, and the mappings to score."""
    return SimpleNamespace(
        n_stimuli=N_STIMULI,
        n_units=N_UNITS,
        n_bins=N_BINS,
        mappings={
            "pls": PLSMapping(n_components=N_COMPONENTS, convergence="sklearn"),
            "ridge": RidgeMapping(),
        },
        mean_of=mean_of,
        shares_of=shares_of,
        reliability=reliability,
        of_mean=of_mean,
        of_each=of_each,
        fit_predict=fit_predict,
        correlations=plain_correlations,
    )


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
            chosen = once(choose_centred, x, whole, train)
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
    if len(x) == N_STIMULI:
        alphas = alphas_for(x[train])
        chosen = RidgeCV(alphas, alpha_per_target=True).fit(x[train], whole[train]).alpha_
    else:
        chosen = once(choose, x, whole, train)
    return np.asarray(Ridge(chosen).fit(x[train], y[train]).predict(x[~train]))


def once(choice: Choice, x: np.ndarray, whole: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return what was chosen before for the same data: halves have the penalties of all trials."""
    key = (choice, x.tobytes(), whole.tobytes(), train.tobytes())
    if key not in _chosen:
        _chosen[key] = choice(x, whole, train)
    return _chosen[key]


def alphas_for(x: np.ndarray) -> np.ndarray:
    """Return the penalties to choose from."""
    return np.asarray(np.array(RELATIVE_ALPHAS) * ((x - x.mean(axis=0)) ** 2).sum() / len(x))


def choose(x: np.ndarray, whole: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Leave out a stimulus with all its bins, and predict it."""
    x, whole, alphas = x[train], whole[train], alphas_for(x[train])
    stimulus = np.tile(np.arange(N_STIMULI), len(train) // N_STIMULI)[train]
    errors = np.zeros((len(alphas), whole.shape[1]))
    for i in np.unique(stimulus):
        inside, out = stimulus != i, stimulus == i
        for a, alpha in enumerate(alphas):
            predicted = Ridge(alpha).fit(x[inside], whole[inside]).predict(x[out])
            errors[a] += ((predicted - whole[out]) ** 2).sum(axis=0)
    return np.asarray(alphas[errors.argmin(axis=0)])


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
