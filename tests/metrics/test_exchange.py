"""Effects of members that predict each other, and the interval of one more."""

import numpy as np
import pytest

from neurofit.metrics.exchange import interval_of_member, source_effects


def test_effects_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 4, 7):
        scores, off = rng.standard_normal((n, n)), ~np.eye(n, dtype=bool)
        source, target = np.nonzero(off)
        design = np.zeros((len(source), 2 * n))
        rows = np.arange(len(source))
        design[rows, source] = design[rows, n + target] = 1
        effects = np.linalg.lstsq(design, scores[off], rcond=None)[0][:n]
        np.testing.assert_allclose(source_effects(scores), effects - effects.mean(), atol=1e-12)


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize(("effects", "noise"), [(1.0, 0.01), (0.5, 0.5), (0.0, 1.0)])
def test_one_more_member_is_inside_as_often_as_stated(n: int, effects: float, noise: float) -> None:
    rng, inside = np.random.default_rng(1), []
    for _ in range(3000):
        source, target = effects * rng.standard_normal(n + 1), rng.standard_normal(n)
        scores = source[:, None] + target + noise * rng.standard_normal((n + 1, n))
        _, low, high = interval_of_member(scores[:n], level=0.95)
        inside.append(low <= scores[n].mean() <= high)
    if effects == 1.0:
        assert np.mean(inside) == pytest.approx(0.95, abs=0.012)  # three standard errors
    else:
        assert 0.938 < np.mean(inside) < 1


def test_two_members_have_no_spread_and_a_missing_score_no_interval() -> None:
    mean, low, high = interval_of_member(np.array([[9.0, 0.2], [0.4, 9.0]]), level=0.95)
    assert mean == pytest.approx(0.3)
    assert np.isnan([low, high]).all()
    with pytest.raises(ValueError, match="effects need 3 members; got 2"):
        source_effects(np.eye(2))
    lacking = np.ones((3, 3))
    lacking[0, 1] = np.nan
    assert np.isnan(interval_of_member(lacking, level=0.95)).all()
