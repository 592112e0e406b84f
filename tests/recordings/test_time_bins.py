"""Milliseconds against timesteps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofit.errors import NeurofitError
from neurofit.recordings.time_bins import covered_bins, make_time_bins, timestep_weights

bins_inside = st.integers(1, 400).flatmap(
    lambda last: st.integers(0, last - 1).map(lambda first: (first, last))
)


def test_more_bins_than_fit_into_memory_are_refused_by_their_number() -> None:
    with pytest.raises(NeurofitError, match="are 100,000,000,099 time bins; at most 100,000"):
        make_time_bins(-100, 99_999_999_999, 1)


def test_bins_are_adjacent_and_half_open() -> None:
    assert make_time_bins(70, 100, 10) == [(70, 80), (80, 90), (90, 100)]
    assert len(make_time_bins(70, 260, 10)) == 19
    assert len(make_time_bins(0, 100_000, 1)) == 100_000
    assert make_time_bins(-20, 20, 20) == [(-20, 0), (0, 20)]


@pytest.mark.parametrize(
    ("start", "end", "width"),
    [(70, 260, 0), (70, 260, -10), (70, 260, 15), (260, 70, 10), (70, 70, 10)],
)
def test_a_window_that_is_not_divided_is_refused(start: int, end: int, width: int) -> None:
    with pytest.raises(NeurofitError, match=f"got {start}:{end}:{width}"):
        make_time_bins(start, end, width)


def test_weights_worked_out_by_hand() -> None:
    # steps:  0: [0, 10)  1: [10, 20)  2: [20, 30)
    weights = timestep_weights(
        [(10, 20), (15, 25), (5, 25), (25, 35), (-10, 10), (30, 40)],
        n_timesteps=3,
        ms_per_timestep=10,
    )
    expected = [
        [0, 1, 0],
        [0, 0.5, 0.5],
        [0.25, 0.5, 0.25],
        [0, 0, 0.5],  # half of it lies after the unroll
        [0.5, 0, 0],  # half of it lies before the image
        [0, 0, 0],
    ]
    np.testing.assert_allclose(weights, np.array(expected))


def test_a_bin_narrower_than_a_step_sees_that_step_alone() -> None:
    weights = timestep_weights([(12, 14), (18, 22)], n_timesteps=3, ms_per_timestep=10)
    np.testing.assert_allclose(weights, np.array([[0, 1, 0], [0, 0.5, 0.5]]))


@given(bins=st.lists(bins_inside, max_size=5), width=st.integers(1, 30))
def test_rows_sum_to_one_inside_the_unroll(bins: list[tuple[int, int]], width: int) -> None:
    n_timesteps = -(-400 // width)
    weights = timestep_weights(bins, n_timesteps=n_timesteps, ms_per_timestep=width)
    assert weights.shape == (len(bins), n_timesteps)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)


@given(
    time_bin=bins_inside,
    shift=st.integers(-500, 500),
    n_timesteps=st.integers(1, 40),
    width=st.integers(1, 30),
)
def test_weights_are_the_share_of_milliseconds(
    time_bin: tuple[int, int], shift: int, n_timesteps: int, width: int
) -> None:
    start, end = time_bin[0] + shift, time_bin[1] + shift
    steps = np.arange(start, end) // width  # which step each millisecond of the bin falls into
    expected = [np.mean(steps == step) for step in range(n_timesteps)]
    np.testing.assert_allclose(
        timestep_weights([(start, end)], n_timesteps=n_timesteps, ms_per_timestep=width)[0],
        expected,
    )


def test_a_constant_model_stays_constant_in_recorded_time() -> None:
    weights = timestep_weights(make_time_bins(70, 260, 10), n_timesteps=26, ms_per_timestep=10)
    np.testing.assert_allclose(weights @ np.full(26, 3.5), 3.5)


def test_bins_before_the_image_reaches_the_layer_have_no_prediction() -> None:
    weights = timestep_weights(
        [(0, 10), (10, 20), (15, 25), (20, 30), (25, 35)], n_timesteps=3, ms_per_timestep=10
    )
    assert covered_bins(weights, first_timestep=0).tolist() == [True, True, True, True, False]
    assert covered_bins(weights, first_timestep=2).tolist() == [False, False, False, True, False]
    assert not covered_bins(weights, first_timestep=3).any()
