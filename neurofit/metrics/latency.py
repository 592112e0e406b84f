"""Latencies of time courses: when they reach a share of their peak, and when they peak."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def onset(
    courses: Float[np.ndarray, "*any time_bin"],
    times: Float[np.ndarray, " time_bin"],
    *,
    share: float,
) -> Float[np.ndarray, "*any"]:
    """Return when a time course rises to a share of its peak for the last time before the peak.

    Between the middles of two bins the course is taken as a straight line.

    Parameters
    ----------
    courses
        Time courses that are 0 without a response; NaN counts as 0.
    times
        Middle of each bin in ms.
    share
        Share of the peak, between 0 and 1.

    Returns
    -------
    Time in ms; NaN if the peak is not positive, or the course begins above this share.
    """
    courses = np.nan_to_num(courses)
    top = courses.argmax(axis=-1)[..., None]
    level = share * courses.max(axis=-1, keepdims=True)
    position = np.arange(courses.shape[-1])
    below = (courses < level) & (position < top)
    last = np.where(below, position, -1).max(axis=-1)[..., None]
    found = (last[..., 0] >= 0) & (level[..., 0] > 0)
    last = np.maximum(last, 0)
    following = np.minimum(last + 1, len(times) - 1)
    low, high = (np.take_along_axis(courses, each, axis=-1) for each in (last, following))
    with np.errstate(invalid="ignore", divide="ignore"):
        part = (level - low) / (high - low)
    at = times[last] + part * (times[following] - times[last])
    return np.asarray(np.where(found, at[..., 0], np.nan))


def peak(
    courses: Float[np.ndarray, "*any time_bin"], times: Float[np.ndarray, " time_bin"]
) -> Float[np.ndarray, "*any"]:
    """Return when a time course is largest: the vertex of a parabola through three bins.

    Returns
    -------
    Time in ms; NaN if the peak is not positive, or lies in the first or the last bin.
    """
    courses = np.nan_to_num(courses)
    top = courses.argmax(axis=-1)
    inside = (top > 0) & (top < len(times) - 1) & (courses.max(axis=-1) > 0)
    middle = np.clip(top, 1, max(len(times) - 2, 1))[..., None]
    if len(times) < 3:
        return np.full(top.shape, np.nan)
    before, here, after = (
        np.take_along_axis(courses, middle + shift, axis=-1)[..., 0] for shift in (-1, 0, 1)
    )
    t_before, t_here, t_after = (times[middle[..., 0] + shift] for shift in (-1, 0, 1))
    # the vertex of the parabola through three points, bins being of any width
    one, two = (t_here - t_before) * (here - after), (t_here - t_after) * (here - before)
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = ((t_here - t_before) * one - (t_here - t_after) * two) / (2 * (one - two))
    vertex = np.where(one == two, t_here, t_here - shift)
    return np.asarray(np.where(inside, vertex, np.nan))
