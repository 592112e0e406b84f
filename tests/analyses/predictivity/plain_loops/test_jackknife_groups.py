"""A jackknife over stimuli, recomputed by plain loops over scikit-learn without each group."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import pearsonr
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge

from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.analyses.encoding.splits import draw_splits
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.metrics.two_way import Influences, effective_df, sum_of_squares
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import deal_trials

Plant = Callable[..., tuple[dict[tuple[str, int], np.ndarray], Recording]]
Run = Callable[..., xr.Dataset]

ALPHA, N_COMPONENTS = 5.0, 3
MAPPINGS = {
    "ridge": RidgeMapping(alphas=(ALPHA,)),
    "pls": PLSMapping(n_components=N_COMPONENTS),
}
SMALL = {"n_stimuli": 72, "n_latents": 6, "n_neuroids": 17, "n_trials": 5}


def predict(mapping: str, x: np.ndarray, y: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return predictions for all stimuli (time_bin stimulus neuroid); bins share the map."""
    x, y = (each - each[:, train].mean(axis=1, keepdims=True) for each in (x, y))
    rows, targets = (each[:, train].reshape(-1, each.shape[-1]) for each in (x, y))
    if mapping == "ridge":
        model = Ridge(ALPHA, fit_intercept=False).fit(rows, targets)
    else:
        model = PLSRegression(N_COMPONENTS, scale=False, tol=1e-14, max_iter=5000).fit(
            rows, targets
        )
    return np.stack([model.predict(own) for own in x])


def scores_without(
    mapping: str,
    fixed: bool,
    features: np.ndarray,
    recording: Recording,
    result: xr.Dataset,
    reliability: Any,
) -> np.ndarray:
    """Return the score without each group of stimuli (group time_bin), by plain loops."""
    rows, n_halves = recording.stimulus_rows, result.sizes["half"]
    trials = recording.responses.values.astype(float)  # (presentation neuroid time_bin)
    n_stimuli, n_bins = len(recording.stimuli), trials.shape[2]
    places = deal_trials(rows, n_halves=n_halves, seed=0)
    chosen = [np.ones(len(rows), bool)]
    chosen += [place % 2 == 0 for place in places] + [place % 2 == 1 for place in places]
    means = np.stack(
        [[trials[own & (rows == s)].mean(axis=0) for s in range(n_stimuli)] for own in chosen]
    ).transpose(0, 3, 1, 2)  # (set time_bin stimulus neuroid)
    one_by = np.array([1 / np.bincount(rows[own], minlength=n_stimuli) for own in chosen])
    valid = np.isfinite(means).all(axis=(0, 1))  # (stimulus neuroid)
    group, train = result.jackknife_group.values, result.train.values.astype(bool)
    strata = result.stratum_of_neuroid.values
    scores = []
    for g in range(group.max() + 1):
        r = np.full((3, len(train), trials.shape[1], n_bins), np.nan)
        share = np.zeros((3, trials.shape[1]))
        for pattern in np.unique(valid, axis=1).T:
            own = (valid == pattern[:, None]).all(axis=0)
            usable = np.flatnonzero(pattern & (group != g))
            half = one_by[:, usable].mean(axis=1)
            share[:, own] = np.array(
                [half[1 : 1 + n_halves].mean(), half[1 + n_halves :].mean(), half[0]]
            )[:, None]
            for k, trained in enumerate(train[:, usable]):
                y = means[:, :, usable][..., own]
                blocks = [slice(None)] if fixed else [slice(b, b + 1) for b in range(n_bins)]
                maps = [
                    np.concatenate(
                        [
                            predict(mapping, features[at][:, usable], each[at], trained)
                            for at in blocks
                        ]
                    )
                    for each in y
                ]
                p, y = np.stack(maps)[:, :, ~trained], y[:, :, ~trained]
                for n, place in enumerate(np.flatnonzero(own)):
                    for b in range(n_bins):
                        r[0, k, place, b] = pearsonr(p[0, b, :, n], y[0, b, :, n]).statistic
                        for term, values in ((1, p), (2, y)):
                            r[term, k, place, b] = np.mean(
                                [
                                    pearsonr(
                                        values[1 + h, b, :, n], values[1 + n_halves + h, b, :, n]
                                    ).statistic
                                    for h in range(n_halves)
                                ]
                            )
        above, below = np.zeros(n_bins), np.zeros(n_bins)
        for j in range(strata.max() + 1):
            inside = strata == j
            x, xx, yy = (each[inside].mean(axis=0) for each in r)
            weight = inside.sum(axis=0) / inside.sum()
            p, y = (reliability(each, *(share @ weight)) for each in (xx, yy))
            above, below = above + x, below + np.sqrt(p * y)
        scores.append(above / below)
    return np.array(scores)


@pytest.mark.parametrize("case", ["pls", "ridge", "fixed", "missing", "groups", "equal images"])
def test_the_influence_of_a_group_is_what_plain_loops_lose_without_it(
    plant: Plant, run: Run, loops: SimpleNamespace, case: str
) -> None:
    blocks, recording = plant(noise=1.0, share=0.7, **SMALL)
    mapping, options = "pls" if case == "pls" else "ridge", {}
    responses = recording.responses.copy()
    if case == "missing":  # all trials of two stimuli, in some neuroids, and a trial of another
        lost = np.isin(recording.stimulus_rows, [3, 40])
        responses.values[np.ix_(lost, np.arange(5))] = np.nan
    if case == "pls":  # uneven numbers of trials
        rows, repetition = recording.stimulus_rows, responses.repetition.values
        responses = responses[(repetition < 4) | (rows % 3 == 0)]
    recording = replace(recording, responses=responses)
    if case == "groups":
        table = recording.stimuli.table.assign(pose=np.arange(72) // 2 % 30)
        recording = replace(recording, stimuli=replace(recording.stimuli, table=table))
        options["groups"] = "pose"
    if case == "equal images":
        images = np.random.default_rng(0).integers(0, 255, (72, 2, 2, 3), dtype=np.uint8)
        images[9::10] = images[8::10][:7]
        recording = replace(recording, stimuli=replace(recording.stimuli, images=images))
    fixed = case == "fixed"
    options["time_mode"] = "fixed" if fixed else "per-bin"
    result = run(
        blocks,
        recording,
        "pooled",
        mapping=MAPPINGS[mapping],
        n_splits=2,
        n_halves=2,
        min_z=None,
        jackknife=6,
        **options,
    )
    assert result.stratum_of_neuroid.values.max() == 1
    features = np.stack([blocks["latent", b] for b in range(2)]).astype(float)
    scores = scores_without(mapping, fixed, features, recording, result, loops.reliability)
    expected = (scores.mean(axis=0) - scores) * 5 / 6
    assert np.abs(expected).max() > 0.003
    influence = result.influence_of_stimuli.values[0]
    rows = np.flatnonzero((influence != 0).any(axis=1))
    group = result.jackknife_group.values
    assert rows.tolist() == [np.flatnonzero(group == g)[0] for g in range(6)]
    np.testing.assert_allclose(influence[rows], expected, atol=1e-6)
    v_jackknife = 5 / 6 * ((scores - scores.mean(axis=0)) ** 2).sum(axis=0)
    own, zero = result.influence_of_neuroids.values[0], np.zeros(2)
    sampled = Influences(own, influence, zero, zero).sampled(np.array([True, True]))
    assert len(sampled.stimuli) == 6
    np.testing.assert_allclose(sum_of_squares(sampled.stimuli), v_jackknife, rtol=1e-4)
    assert (effective_df(sampled.stimuli) <= 5).all()
    if case in ("groups", "equal images"):
        places = draw_splits(recording, EncodingConfig(groups=options.get("groups"))).places
        assert len(np.unique(places)) < 72
        np.testing.assert_array_equal(group, group[places])
