"""Presets with folds: each number equals that of plain loops."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.model_selection import KFold

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.score import score
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import deal_trials


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
    loops: SimpleNamespace,
    mapping: str,
    time_mode: str,
    intercept: str,
    splits: str,
) -> None:
    activations, recording = planted
    options = {
        "mapping": loops.mappings[mapping],
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
    sets_of_trials = (everything, *halves, *~halves)
    bins = range(loops.n_bins)
    groups = [[b] for b in bins] if time_mode == "per-bin" else [list(bins)]
    kfold = KFold(4, shuffle=True, random_state=0)
    folds = [out for _, out in kfold.split(np.zeros(loops.n_stimuli))]
    over = folds if splits == "folds" else [np.arange(loops.n_stimuli)]

    def predict(chosen: np.ndarray, group: list[int]) -> np.ndarray:
        """Return predictions by maps that their fold did not train: (bin stimulus neuroid)."""
        x = np.concatenate([activations.blocks["layer", b].astype(float) for b in group])
        whole, y = (
            np.concatenate([loops.mean_of(trials[c][:, :, b], rows[c]) for b in group])
            for c in (everything, chosen)
        )
        predicted = np.empty_like(y)
        own = {"intercept": intercept if len(group) > 1 else "shared"}
        for out in folds:
            train = np.tile(~np.isin(np.arange(loops.n_stimuli), out), len(group))
            predicted[~train] = loops.fit_predict(mapping, x, whole, y, train, **own)
        return predicted.reshape(len(group), loops.n_stimuli, n)

    r_xy = np.empty((len(over), n, loops.n_bins))
    r_xx, r_yy = np.empty((2, len(over), 2, n, loops.n_bins))
    for group in groups:
        predictions = [predict(c, group) for c in sets_of_trials]
        for i, b in enumerate(group):
            shown = [each[i] for each in predictions]
            truth = [loops.mean_of(trials[c][:, :, b], rows[c]) for c in sets_of_trials]
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
    xx, yy = (loops.of_mean(r, loops.shares_of(recording, config)) for r in (r_xx, r_yy))
    mean = r_xy.mean(axis=0)
    per_cent = 100 * mean * abs(mean) / (xx * yy)
    np.testing.assert_allclose(result.curve.values[0], np.median(per_cent, axis=0), atol=1e-4)
    assert result.curve.attrs["formula"].startswith(
        "percent_explained_variance = 100 r_xy |r_xy| / (r_xx * r_yy)"
    )
    assert result.train.dims == ("split" if splits == "folds" else "fold", "stimulus")
    assert (result.train.values == 0).sum(axis=0).tolist() == [1] * loops.n_stimuli
