"""Latencies of time courses that are known."""

from collections.abc import Callable

import numpy as np
import pytest

from neurofit.metrics.latency import onset, peak

TIMES = np.arange(5.0, 200, 10)


def binned(function: Callable[[np.ndarray], np.ndarray], width: int = 10) -> np.ndarray:
    """Return the mean of a function of ms in each bin."""
    fine = np.arange(0, 200, 0.1) + 0.05
    return np.asarray(function(fine).reshape(-1, width * 10).mean(axis=1))


@pytest.mark.parametrize("latency", np.arange(50.0, 71.0, 2.5))
def test_a_step_is_found_within_a_tenth_of_a_bin(latency: float) -> None:
    course = binned(lambda t: 1.0 * (t > latency))
    assert onset(course, TIMES, share=0.5) == pytest.approx(latency, abs=1.0)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_ramp_reaches_each_share_where_it_does(share: float) -> None:
    course = binned(lambda t: np.clip((t - 60) / 60, 0, 1))
    assert onset(course, TIMES, share=share) == pytest.approx(60 + 60 * share, abs=0.5)


def test_the_rise_to_the_peak_counts_and_not_an_earlier_one() -> None:
    course = np.array([0.0, 0.6, 0.1, 0.3, 1.0, 0.2])
    times = np.arange(6) * 10.0
    assert onset(course, times, share=0.5) == pytest.approx(30 + 10 * 0.2 / 0.7)
    assert peak(course, times) == pytest.approx(40 - 10 * 0.5 * (0.8 - 0.7) / (0.8 + 0.7))


@pytest.mark.parametrize("middle", np.arange(90.0, 111.0, 4.0))
def test_the_vertex_of_a_parabola_is_found(middle: float) -> None:
    course = 10_000.0 - (TIMES - middle) ** 2
    assert peak(course, TIMES) == pytest.approx(middle)
    uneven = np.array([60.0, 80.0, 95.0, 100.0, 120.0, 125.0])
    assert peak(1e4 - (uneven - middle) ** 2, uneven) == pytest.approx(middle)


def test_without_a_response_there_is_no_latency() -> None:
    for course in (np.zeros(20), -np.ones(20), np.full(20, np.nan)):
        assert np.isnan(onset(course, TIMES, share=0.5))
        assert np.isnan(peak(course, TIMES))
    falling = np.linspace(2, 1, 20)
    assert np.isnan(onset(falling, TIMES, share=0.5)), "it begins above"
    assert np.isnan(peak(falling, TIMES)), "it may have peaked before"


def test_courses_of_any_shape_are_searched_at_once() -> None:
    rng = np.random.default_rng(0)
    courses = rng.random((3, 4, 20))
    found = onset(courses, TIMES, share=0.5)
    assert found.shape == (3, 4)
    assert found[1, 2] == pytest.approx(onset(courses[1, 2], TIMES, share=0.5), nan_ok=True)
