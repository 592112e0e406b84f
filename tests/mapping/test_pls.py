"""PLS from the Gram matrix equals scikit-learn's PLSRegression, fit by fit."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression

from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.mapping import pls
from neurofit.mapping.gram import Gram
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.splits import inner_split, train_splits

MakeData = Callable[..., tuple[np.ndarray, np.ndarray]]
Predict = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


@pytest.mark.parametrize(
    ("n", "p", "s"),
    [
        pytest.param(120, 300, 20, id="n<p"),
        pytest.param(200, 60, 20, id="n>p"),
        pytest.param(120, 300, 1, id="one neuroid"),
        pytest.param(60, 300, 90, id="more neuroids than stimuli"),
        pytest.param(60, 9000, 10, id="several column chunks"),
    ],
)
def test_predictions_equal_scikit_learn(
    make_data: MakeData, sklearn_prediction: Predict, n: int, p: int, s: int
) -> None:
    features, targets = make_data(n, p, s)
    train = train_splits(n, n_splits=3, train_size=0.75, seed=0)
    predictions = PLSMapping(n_components=10, convergence="sklearn").cross_predict(
        gram_of([features]), targets, train
    )
    for rows, predicted in zip(train, predictions, strict=True):
        for target, prediction in zip(targets, predicted, strict=True):
            expected = sklearn_prediction(features, target, rows, 10)
            np.testing.assert_allclose(prediction, expected, atol=1e-9 * target.std())


def test_25_components_on_many_units_equal_scikit_learn_to_1e_6_of_a_sd(
    make_data: MakeData, sklearn_prediction: Predict
) -> None:
    features, targets = make_data(300, 2000, 40, n_sets=2, rank=200)
    train = train_splits(300, n_splits=2, train_size=0.75, seed=1)
    predictions = PLSMapping(convergence="sklearn").cross_predict(
        gram_of([features]), targets, train
    )
    for rows, predicted in zip(train, predictions, strict=True):
        expected = sklearn_prediction(features, targets[1], rows, 25)
        assert np.abs(predicted[1] - expected).max() < 1e-6 * targets[1].std()


@pytest.mark.parametrize(
    "change",
    [
        "constant unit",
        "constant neuroid",
        "constant first neuroid",
        "duplicated stimuli",
        "huge offset",
    ],
)
def test_awkward_data_equal_scikit_learn(
    make_data: MakeData, sklearn_prediction: Predict, change: str
) -> None:
    features, targets = make_data(100, 150, 6)
    if change == "constant unit":
        features[:, 7] = 4.0
    if change == "constant neuroid":
        targets[..., 3] = 2.0
    if change == "constant first neuroid":
        targets[..., 0] = 2.0
    if change == "duplicated stimuli":
        features[50:], targets[:, 50:] = features[:50], targets[:, :50]
    if change == "huge offset":
        features = (features + 1000.0).astype(np.float32)
    train = train_splits(100, n_splits=2, train_size=0.75, seed=0)
    predictions = PLSMapping(n_components=8, convergence="sklearn").cross_predict(
        gram_of([features]), targets, train
    )
    for rows, predicted in zip(train, predictions, strict=True):
        np.testing.assert_allclose(
            predicted[0], sklearn_prediction(features, targets[0], rows, 8), atol=1e-7
        )


def test_exhausted_rank_equals_scikit_learn_with_that_many_components(
    sklearn_prediction: Predict,
) -> None:
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((90, 6)) @ rng.standard_normal((6, 200))).astype(np.float64)
    targets = rng.standard_normal((1, 90, 5))
    train = train_splits(90, n_splits=1, train_size=0.75, seed=0)
    (prediction,) = PLSMapping(n_components=25).cross_predict(gram_of([features]), targets, train)
    np.testing.assert_allclose(
        prediction[0], sklearn_prediction(features, targets[0], train[0], 6), atol=1e-8
    )


def test_constant_features_predict_the_training_mean() -> None:
    targets = np.random.default_rng(0).standard_normal((1, 40, 3))
    train = train_splits(40, n_splits=1, train_size=0.75, seed=0)
    (prediction,) = PLSMapping().cross_predict(
        gram_of([np.full((40, 60), 3.0, np.float32)]), targets, train
    )
    np.testing.assert_allclose(
        prediction[0], np.broadcast_to(targets[0, train[0]].mean(axis=0), (10, 3)), atol=1e-12
    )


def test_a_rotation_of_the_features_changes_nothing(make_data: MakeData) -> None:
    features, targets = make_data(80, 120, 8)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((120, 120)))
    train = train_splits(80, n_splits=2, train_size=0.75, seed=0)
    plain = PLSMapping(n_components=10).cross_predict(
        gram_of([features.astype(float)]), targets, train
    )
    rotated = PLSMapping(n_components=10).cross_predict(
        gram_of([features @ rotation]), targets, train
    )
    np.testing.assert_allclose(plain[0], rotated[0], atol=1e-8)


def test_dense_and_factored_gram_agree(make_data: MakeData) -> None:
    features, targets = make_data(100, 70, 8)
    factored = gram_of([features])
    assert factored.factor is not None
    dense = Gram(dense=factored.factor @ factored.factor.T)
    train = train_splits(100, n_splits=2, train_size=0.75, seed=0)
    for a, b in zip(
        *(PLSMapping(n_components=9).cross_predict(g, targets, train) for g in (factored, dense)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_splits_worked_on_in_turns_equal_all_at_once(
    make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = make_data(80, 100, 5)
    train = train_splits(80, n_splits=4, train_size=0.75, seed=0)
    at_once = PLSMapping(n_components=5).cross_predict(gram_of([features]), targets, train)
    monkeypatch.setattr(pls, "SCORES_BYTES", 1)
    in_turns = PLSMapping(n_components=5).cross_predict(gram_of([features]), targets, train)
    for a, b in zip(at_once, in_turns, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_target_sets_worked_on_in_groups_equal_all_at_once(
    make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = make_data(80, 100, 5, n_sets=5)
    train = train_splits(80, n_splits=2, train_size=0.75, seed=0)
    at_once = PLSMapping(n_components=5).cross_predict(gram_of([features]), targets, train)
    monkeypatch.setattr(pls, "SETS_TOGETHER", 2)
    in_groups = PLSMapping(n_components=5).cross_predict(gram_of([features]), targets, train)
    for a, b in zip(at_once, in_groups, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_features_that_stand_still_give_the_same_prediction_in_every_bin(
    make_data: MakeData,
) -> None:
    features, targets = make_data(60, 100, 5, n_sets=2)
    stacked = np.concatenate([targets, 2.0 * targets + 1.0], axis=1)  # two bins
    train = np.tile(train_splits(60, n_splits=1, train_size=0.75, seed=0), (1, 2))
    (prediction,) = PLSMapping(n_components=5).cross_predict(
        gram_of([features, features]), stacked, train
    )
    np.testing.assert_allclose(prediction[:, :15], prediction[:, 15:], atol=1e-10)


def test_exhausted_rank_is_seen_in_a_float32_gram(sklearn_prediction: Predict) -> None:
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((90, 15)) @ rng.standard_normal((15, 2000)) + 2).astype(
        np.float32
    )
    targets = rng.standard_normal((1, 90, 5))
    train = train_splits(90, n_splits=1, train_size=0.75, seed=0)
    with pytest.warns(NeurofitWarning, match="15 of 25 components"):
        (prediction,) = PLSMapping().cross_predict(
            gram_of([features], precision="float32"), targets, train
        )
    np.testing.assert_allclose(
        prediction[0], sklearn_prediction(features, targets[0], train[0], 15), atol=1e-4
    )


def test_a_float32_gram_gives_the_scores_of_scikit_learn_to_1e_6(
    make_data: MakeData, sklearn_prediction: Predict
) -> None:
    features, targets = make_data(300, 3000, 20, n_sets=1, rank=200)
    train = train_splits(300, n_splits=1, train_size=0.75, seed=0)
    (prediction,) = PLSMapping(convergence="sklearn").cross_predict(
        gram_of([features], precision="float32"), targets, train
    )
    truth = targets[0, ~train[0]]
    for i, expected in enumerate(sklearn_prediction(features, targets[0], train[0], 25).T):
        assert np.corrcoef(prediction[0, :, i], truth[:, i])[0, 1] == pytest.approx(
            np.corrcoef(expected, truth[:, i])[0, 1], abs=1e-6
        )


@pytest.mark.parametrize("times", [1, 2])
def test_the_number_of_components_is_chosen_on_held_out_training_stimuli(
    make_data: MakeData, times: int
) -> None:
    features, targets = make_data(120 // times, 200, 10, n_sets=2)
    targets = targets[::-1].copy()  # the noisier first
    if times > 1:
        features, targets = (
            np.concatenate([features, features[::-1] + 1]),
            np.concatenate([targets, targets[:, ::-1]], axis=1),
        )
    stimuli = train_splits(120 // times, n_splits=2, train_size=0.75, seed=0)
    train, gram = np.tile(stimuli, times), gram_of([features])
    mapping = PLSMapping(n_components=12, choose_components=True)
    chosen = mapping.chosen_components(gram, targets, train, times=times)
    for split, rows in enumerate(stimuli):
        inner = np.tile(inner_split(rows), times)
        held = train[split] & ~inner
        r = []
        for n in range(1, 13):
            model = PLSRegression(n, scale=False).fit(
                features[inner].astype(float), targets[0, inner]
            )
            predicted, truth = model.predict(features[held].astype(float)), targets[0, held]
            r.append(np.mean([np.corrcoef(predicted[:, i], truth[:, i])[0, 1] for i in range(10)]))
        assert chosen[split] == 1 + int(np.argmax(r))
    assert set(chosen) != {12}
    fits = PLSMapping(n_components=12).fit_splits(gram, targets, train)
    for n, predicted, fit in zip(
        chosen, mapping.cross_predict(gram, targets, train, times=times), fits, strict=True
    ):
        np.testing.assert_allclose(predicted, fit.predict(n), atol=1e-12)


def test_the_name_says_what_is_not_the_default() -> None:
    assert PLSMapping().name == "pls"
    assert (
        PLSMapping(convergence="sklearn", choose_components=True).name
        == "pls (sklearn, components chosen among 25)"
    )
    with pytest.raises(
        NeurofitError, match=r"Unknown convergence 'nipals'\.\nExisting: exact, sklearn\."
    ):
        PLSMapping(convergence="nipals")


def test_scale_and_order_of_neuroids_change_nothing_but_joint_pls_depends_on_the_group(
    make_data: MakeData,
) -> None:
    features, targets = make_data(80, 120, 8)
    train = train_splits(80, n_splits=1, train_size=0.75, seed=0)
    gram, mapping = gram_of([features]), PLSMapping(n_components=6, convergence="exact")
    (plain,) = mapping.cross_predict(gram, targets, train)
    order = np.random.default_rng(0).permutation(8)
    np.testing.assert_allclose(
        mapping.cross_predict(gram, targets[..., order], train)[0], plain[..., order], atol=1e-9
    )
    np.testing.assert_allclose(
        mapping.cross_predict(gram, 7 * targets - 3, train)[0], 7 * plain - 3, atol=1e-8
    )
    alone = np.concatenate(
        [
            mapping.cross_predict(gram, targets[..., part], train)[0]
            for part in (slice(4), slice(4, 8))
        ],
        axis=-1,
    )
    assert np.abs(alone - plain).max() > 0.01 * plain.std()


def test_the_number_of_components_does_not_depend_on_the_company_of_a_split() -> None:
    rng = np.random.default_rng(0)
    features, train = (
        rng.standard_normal((60, 20)),
        np.stack([rng.permutation(60) < 45 for _ in range(3)]),
    )
    targets = (features[:, :4] @ rng.standard_normal((4, 5)) + rng.standard_normal((60, 5)))[None]
    mapping = PLSMapping(n_components=10, choose_components=True)
    gram = gram_of([features])
    together = mapping.cross_predict(gram, targets, train)
    for split in (2, 1, 0):
        (alone,) = mapping.cross_predict(gram, targets, train[[split]])
        np.testing.assert_allclose(alone, together[split], atol=1e-10)
