"""Ridge from the Gram matrix equals scikit-learn's RidgeCV: penalties and predictions."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.mapping import penalties
from neurofit.mapping.gram import Gram
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.linalg import CPU
from neurofit.mapping.penalties import penalty_errors
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import train_splits

ALPHAS = tuple(float(a) for a in np.logspace(-2, 5, 15))


def make_data(n: int, p: int, s: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n + p)
    latent = rng.standard_normal((n, 20)) / np.sqrt(np.arange(1, 21))
    features = np.maximum(latent @ rng.standard_normal((20, p)) + 1.0, 0.0).astype(np.float32)
    signal = latent @ rng.standard_normal((20, s))
    return features, np.stack(
        [
            signal + noise * rng.standard_normal((n, s)) * np.linspace(0.1, 6, s)
            for noise in (1.0, 1.4)
        ]
    )


def leave_one_out_alphas(
    scores: np.ndarray, eigenvalues: np.ndarray, targets: np.ndarray, times: int = 1
) -> np.ndarray:
    """Return the chosen penalty of each neuroid."""
    alphas = np.array(ALPHAS)
    errors = penalty_errors(
        scores, eigenvalues, targets, alphas, times=times, select="loo", backend=CPU
    )
    return np.asarray(alphas[errors.argmin(axis=0)])


@pytest.mark.parametrize(("n", "p"), [(100, 400), (300, 60), (100, 110)])
def test_alphas_and_predictions_equal_ridgecv(n: int, p: int) -> None:
    features, targets = make_data(n, p)
    train = train_splits(n, n_splits=3, train_size=0.75, seed=0)
    gram = gram_of([features])
    for rows, predicted in zip(
        train, RidgeMapping(alphas=ALPHAS).cross_predict(gram, targets, train), strict=True
    ):
        oracle = RidgeCV(ALPHAS, alpha_per_target=True).fit(
            features[rows].astype(float), targets[0, rows]
        )
        scores, eigenvalues = gram.principal_scores(rows)
        centred = targets[0, rows] - targets[0, rows].mean(axis=0)
        np.testing.assert_array_equal(
            leave_one_out_alphas(scores[rows], eigenvalues, centred),
            oracle.alpha_,
        )
        assert len(set(oracle.alpha_)) > 2, "the data must make neuroids choose different penalties"
        np.testing.assert_allclose(
            predicted[0], oracle.predict(features[~rows].astype(float)), rtol=1e-6, atol=1e-8
        )


def test_halves_use_the_penalties_chosen_on_all_trials() -> None:
    features, targets = make_data(100, 200)
    train = train_splits(100, n_splits=1, train_size=0.75, seed=0)
    (predicted,) = RidgeMapping(alphas=ALPHAS).cross_predict(gram_of([features]), targets, train)
    chosen = (
        RidgeCV(ALPHAS, alpha_per_target=True)
        .fit(features[train[0]].astype(float), targets[0, train[0]])
        .alpha_
    )

    expected = (
        Ridge(chosen)
        .fit(features[train[0]].astype(float), targets[1, train[0]])
        .predict(features[~train[0]].astype(float))
    )
    np.testing.assert_allclose(predicted[1], expected, rtol=1e-6, atol=1e-8)


def test_default_penalties_do_not_depend_on_the_features_scale() -> None:
    features, targets = make_data(80, 150)
    train = train_splits(80, n_splits=1, train_size=0.75, seed=0)
    small, large = (
        RidgeMapping().cross_predict(gram_of([features * scale]), targets, train)[0]
        for scale in (1.0, 1024.0)
    )
    np.testing.assert_allclose(small, large, atol=1e-8)


def test_constant_features_predict_the_training_mean() -> None:
    _, targets = make_data(40, 30)
    train = train_splits(40, n_splits=1, train_size=0.75, seed=0)
    (prediction,) = RidgeMapping().cross_predict(
        gram_of([np.ones((40, 60), np.float32)]), targets, train
    )
    np.testing.assert_allclose(
        prediction[0],
        np.broadcast_to(targets[0, train[0]].mean(axis=0), prediction[0].shape),
        atol=1e-12,
    )


def test_permuting_the_neuroids_permutes_the_predictions() -> None:
    features, targets = make_data(80, 150)
    order = np.random.default_rng(0).permutation(targets.shape[2])
    train = train_splits(80, n_splits=1, train_size=0.75, seed=0)
    plain = RidgeMapping().cross_predict(gram_of([features]), targets, train)[0]
    permuted = RidgeMapping().cross_predict(gram_of([features]), targets[..., order], train)[0]
    np.testing.assert_allclose(plain[..., order], permuted, atol=1e-10)


@pytest.mark.parametrize(
    "change",
    ["one neuroid", "constant unit and neuroid", "duplicated stimuli", "rank of 5", "25,088 units"],
)
def test_awkward_data_equal_ridgecv(change: str) -> None:
    features, targets = make_data(60, 25088 if change == "25,088 units" else 90)
    if change == "one neuroid":
        targets = targets[..., :1]
    if change == "constant unit and neuroid":
        features[:, 3], targets[..., 2] = 4.0, 1.0
    if change == "duplicated stimuli":
        features[30:], targets[:, 30:] = features[:30], targets[:, :30]
    if change == "rank of 5":
        features = (features[:, :5] @ np.random.default_rng(0).standard_normal((5, 90))).astype(
            np.float32
        )
    train = train_splits(60, n_splits=2, train_size=0.75, seed=0)
    for rows, predicted in zip(
        train,
        RidgeMapping(alphas=ALPHAS).cross_predict(gram_of([features]), targets, train),
        strict=True,
    ):
        oracle = RidgeCV(ALPHAS, alpha_per_target=True).fit(
            features[rows].astype(float), targets[0, rows]
        )
        expected = oracle.predict(features[~rows].astype(float)).reshape(predicted[0].shape)
        np.testing.assert_allclose(predicted[0], expected, rtol=1e-6, atol=1e-6)


def plain_gcv(
    features: np.ndarray, targets: np.ndarray, alphas: tuple[float, ...], times: int
) -> np.ndarray:
    """Return the penalties of generalised cross-validation from the hat matrix.

    The blocks of a stimulus are replaced by their mean.
    """
    n, n_stimuli = len(features), len(features) // times
    x, y = features - features.mean(axis=0), targets - targets.mean(axis=0)
    errors = []
    for alpha in alphas:
        hat = x @ np.linalg.solve(x.T @ x + alpha * np.eye(x.shape[1]), x.T) + 1 / n
        residual = (y - hat @ y).reshape(times, n_stimuli, -1)
        block = np.einsum("tgug->tu", hat.reshape(times, n_stimuli, times, n_stimuli)) / n_stimuli
        errors.append(
            (np.linalg.solve(np.eye(times) - block, residual.transpose(1, 0, 2)) ** 2).sum(
                axis=(0, 1)
            )
        )
    return np.asarray(np.array(alphas)[np.argmin(errors, axis=0)])


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("p", [30, 150])
def test_gcv_takes_the_penalties_of_its_definition(p: int, times: int) -> None:
    features, targets = make_data(90, p)
    train = np.tile(train_splits(90 // times, n_splits=2, train_size=0.7, seed=0), times)
    gram, differs = gram_of([features]), False
    for rows, predicted in zip(
        train,
        RidgeMapping(alphas=ALPHAS, select="gcv").cross_predict(gram, targets, train, times=times),
        strict=True,
    ):
        chosen = plain_gcv(features[rows].astype(float), targets[0, rows], ALPHAS, times)
        expected = (
            Ridge(chosen)
            .fit(features[rows].astype(float), targets[0, rows])
            .predict(features[~rows].astype(float))
        )
        np.testing.assert_allclose(predicted[0], expected, rtol=1e-6, atol=1e-8)
        scores, eigenvalues = gram.principal_scores(rows)
        centred = targets[0, rows] - targets[0, rows].mean(axis=0)
        by_loo = leave_one_out_alphas(scores[rows], eigenvalues, centred, times)
        assert len(set(chosen)) > 2
        assert (chosen == by_loo).mean() >= 2 / 3, "mostly those of leave-one-out"
        differs |= bool((chosen != by_loo).any())
    assert differs
    assert RidgeMapping(select="gcv").name == "ridge (gcv)"
    with pytest.raises(NeurofitError, match=r"Unknown select 'aic'\.\nExisting: gcv, loo\."):
        RidgeMapping(select="aic")


@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
@pytest.mark.parametrize("p", [3, 60])
def test_a_group_is_left_out_with_all_its_rows(p: int, device: str) -> None:
    features, targets = make_data(90, p)
    targets[:, :, :4] = np.random.default_rng(1).standard_normal((18, 4)).repeat(5, axis=0)
    stimuli = np.random.default_rng(2).permutation(np.repeat(np.arange(9), np.arange(1, 10)))
    groups = np.tile(stimuli, 2)  # two time bins of 45 stimuli, in groups of 1 to 9
    train = np.tile(~np.isin(stimuli, [3, 6]), 2)
    (predicted,) = RidgeMapping(alphas=ALPHAS, device=device).cross_predict(
        gram_of([features]).with_stimulus_groups(groups), targets, train[None], times=2
    )
    inside, truth = features[train].astype(float), targets[0, train]
    errors = [
        (
            cross_val_predict(
                Ridge(alpha), inside, truth, groups=groups[train], cv=LeaveOneGroupOut()
            )
            - truth
        )
        ** 2
        for alpha in ALPHAS
    ]
    chosen = np.array(ALPHAS)[np.sum(errors, axis=1).argmin(axis=0)]
    expected = Ridge(chosen).fit(inside, truth).predict(features[~train].astype(float))
    np.testing.assert_allclose(predicted[0], expected, rtol=1e-6, atol=1e-8)
    (alone,) = RidgeMapping(alphas=ALPHAS).cross_predict(
        gram_of([features]), targets, train[None], times=2
    )
    assert np.abs(alone[0] - predicted[0]).max() > 1e-3, "groups must matter in these data"


@pytest.mark.parametrize("times", [1, 2])
def test_a_stimulus_is_left_out_with_all_its_bins_whatever_the_size_of_the_parts(
    times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = make_data(80, 30)
    train = np.tile(train_splits(80 // times, n_splits=1, train_size=0.75, seed=0), times)
    gram = gram_of([features])
    at_once = RidgeMapping(alphas=ALPHAS).cross_predict(gram, targets, train, times=times)[0]
    monkeypatch.setattr(penalties, "BATCH_VALUES", 100)
    np.testing.assert_allclose(
        RidgeMapping(alphas=ALPHAS).cross_predict(gram, targets, train, times=times)[0],
        at_once,
        atol=1e-12,
    )
    rows, stimulus = train[0], np.tile(np.arange(80 // times), times)[train[0]]
    errors = np.zeros((len(ALPHAS), targets.shape[2]))
    x, y = features[rows].astype(float), targets[0, rows]
    for i in np.unique(stimulus):
        for a, alpha in enumerate(ALPHAS):
            left = Ridge(alpha).fit(x[stimulus != i], y[stimulus != i]).predict(x[stimulus == i])
            errors[a] += ((left - y[stimulus == i]) ** 2).sum(axis=0)
    expected = (
        Ridge(np.array(ALPHAS)[errors.argmin(axis=0)])
        .fit(x, y)
        .predict(features[~rows].astype(float))
    )
    np.testing.assert_allclose(at_once[0], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("p", [30, 300])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("select", ["loo", "gcv"])
def test_torch_predicts_the_same(p: int, times: int, select: str) -> None:
    features, targets = make_data(80, p)
    train = np.tile(train_splits(80 // times, n_splits=2, train_size=0.75, seed=0), times)
    ours, torchs = (
        RidgeMapping(alphas=ALPHAS, select=select, device=device).cross_predict(
            gram_of([features]), targets, train, times=times
        )
        for device in ("cpu", "torch-cpu")
    )
    for a, b in zip(ours, torchs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("p", [30, 300])
def test_features_left_where_they_are_give_the_same_and_the_memory_is_told(p: int) -> None:
    features, targets = make_data(80, p)
    train = train_splits(80, n_splits=2, train_size=0.75, seed=0)
    with pytest.warns(
        NeurofitWarning, match=f"features: ridge of 80 rows x {p} units takes 0.0 GB"
    ):
        left = RidgeMapping(alphas=ALPHAS).cross_predict(
            gram_of([features], memory=1), targets, train
        )
    for a, b in zip(
        left,
        RidgeMapping(alphas=ALPHAS).cross_predict(gram_of([features]), targets, train),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


def test_small_penalties_on_a_float32_gram_are_warned_of() -> None:
    features, targets = make_data(40, 300)
    train = train_splits(40, n_splits=1, train_size=0.75, seed=0)
    gram = gram_of([features], name="conv5", precision="float32")
    with pytest.warns(
        NeurofitWarning, match="conv5: some penalties are below 0.0001 of the largest eigenvalue"
    ):
        RidgeMapping(alphas=(1e-3, 1e3)).cross_predict(gram, targets, train)
    large = 1e-2 * float(gram.principal_scores(train[0])[1][0])
    RidgeMapping(alphas=(large,)).cross_predict(gram, targets, train)


def test_splitting_the_neuroids_and_rotating_the_features_change_nothing() -> None:
    features, targets = make_data(80, 150)
    train = train_splits(80, n_splits=1, train_size=0.75, seed=0)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((150, 150)))
    (plain,) = RidgeMapping(alphas=ALPHAS).cross_predict(gram_of([features]), targets, train)
    parts = [
        RidgeMapping(alphas=ALPHAS).cross_predict(gram_of([features]), targets[..., s], train)[0]
        for s in (slice(5), slice(5, 12))
    ]
    np.testing.assert_allclose(np.concatenate(parts, axis=-1), plain, atol=1e-10)
    np.testing.assert_allclose(
        RidgeMapping(alphas=ALPHAS).cross_predict(gram_of([features @ rotation]), targets, train)[
            0
        ],
        plain,
        atol=1e-8,
    )
    (scaled,) = RidgeMapping(alphas=ALPHAS).cross_predict(
        gram_of([features]), 5 * targets + 2, train
    )
    np.testing.assert_allclose(scaled, 5 * plain + 2, atol=1e-9)


def test_the_dense_and_the_factored_gram_agree() -> None:
    features, targets = make_data(80, 50)
    factored = gram_of([features])
    assert factored.factor is not None
    train = train_splits(80, n_splits=2, train_size=0.75, seed=0)
    grams = (factored, Gram(dense=factored.factor @ factored.factor.T))
    for a, b in zip(
        *(RidgeMapping(alphas=ALPHAS).cross_predict(gram, targets, train) for gram in grams),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-8)


def test_features_read_in_blocks_leave_out_the_same_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = make_data(60, 90)
    train = np.arange(60) % 4 != 0
    groups = np.arange(60) // 6
    dense = gram_of([features], precision="float64").with_stimulus_groups(groups)
    blocks = gram_of([features], memory=1).with_stimulus_groups(groups)
    assert blocks.blocks is not None
    with pytest.warns(NeurofitWarning, match="takes"):
        (found,) = RidgeMapping().cross_predict(blocks, targets, train[None])
    (expected,) = RidgeMapping().cross_predict(dense, targets, train[None])
    np.testing.assert_allclose(found, expected, atol=1e-6)
