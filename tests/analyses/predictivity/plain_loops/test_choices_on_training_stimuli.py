"""Layers and strata are those that plain loops choose on the training stimuli."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.score import score
from neurofit.mapping.ridge import RidgeMapping
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import deal_trials


def test_auto_chooses_the_layers_that_plain_loops_over_held_out_training_stimuli_choose(
    planted: tuple[Activations, Recording], loops: SimpleNamespace
) -> None:
    activations, recording = planted
    rng, seed, layers = np.random.default_rng(7), 5, ("a", "b", "c", "d", "e", "f")
    blocks = {}
    for layer in layers:
        for step in range(loops.n_bins):
            noise = rng.standard_normal((loops.n_stimuli, loops.n_units))
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
    means = loops.mean_of(trials, recording.stimulus_rows)  # (stimulus neuroid bin)
    expected = []
    for split, train in enumerate(result.train.values.astype(bool)):
        rows = np.flatnonzero(train)
        shuffled = np.random.default_rng(seed + split).permutation(rows)
        fitted, held_out = np.split(shuffled, [round(0.8 * len(rows))])
        quality = []
        for layer in layers:
            medians = []
            for b in range(loops.n_bins):
                x, y = blocks[layer, b].astype(float), means[:, :, b]
                predicted = Ridge(20.0).fit(x[fitted], y[fitted]).predict(x[held_out])
                pairs = zip(predicted.T, y[held_out].T, strict=True)
                medians.append(np.median([pearsonr(*pair).statistic for pair in pairs]))
            quality.append(np.mean(medians))
        expected.append(layers[int(np.argmax(quality))])
    assert len(set(expected)) > 2, "the held-out stimuli decide among equally good layers"
    assert result.layer_choice.values.tolist() == expected


@pytest.mark.parametrize(
    ("mapping", "time_mode"), [("ridge", "per-bin"), ("pls", "per-bin"), ("pls", "fixed")]
)
def test_pooled_is_a_ratio_of_sums_over_strata_by_reliability_on_training_stimuli(
    many: tuple[Activations, Recording], loops: SimpleNamespace, mapping: str, time_mode: str
) -> None:
    activations, recording = many
    options = {"time_mode": time_mode, "n_splits": 3, "n_halves": 3}
    config = make_config("pooled", mapping=loops.mappings[mapping], **options)
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = loops.correlations(activations, recording, config, mapping=mapping)
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
                one, two = (loops.mean_of(trials[c], rows[c]) for c in (half, ~half))
                for b in range(loops.n_bins):
                    for s in range(n):
                        pair = one[chosen, s, b], two[chosen, s, b]
                        z[s] += pearsonr(*pair).statistic / (3 * loops.n_bins)
            if chosen is train:
                np.testing.assert_allclose(result.training_r_yy.values[k], z, atol=1e-10)
            for place, s in enumerate(sorted(range(n), key=lambda s: z[s])):
                dealt[k, s] = place // 8
    np.testing.assert_array_equal(result.stratum_of_neuroid.values, strata)
    assert (strata != on_test).any(axis=1).all(), "test stimuli would make other strata"

    shares = loops.shares_of(recording, config).mean(axis=0)
    for b in range(loops.n_bins):
        x, p, y = np.empty((3, n_strata))
        for j in range(n_strata):
            members = [(k, s) for k in range(3) for s in range(n) if strata[k, s] == j]
            x[j] = np.mean([r_xy[k, s, b] for k, s in members])
            p[j], y[j] = (
                loops.reliability(np.mean([r[k, :, s, b].mean() for k, s in members]), *shares)
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
