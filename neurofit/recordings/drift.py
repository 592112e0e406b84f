"""Slow drift of responses over the order of presentation: its detection and removal.

A drift is what the slowest cosines of the order explain (a discrete cosine high-pass, as for fMRI:
Friston et al. 2000, NeuroImage 12, 196):

    b_k(i) = sqrt(2) cos(pi k (i + 1/2) / n),    k = 1 ... K

Where all trials of a stimulus are presented close together, the mean of a stimulus contains the
drift of its time: halves of its trials agree on it, so that it counts as reliable signal and
features that follow the order predict it. Nothing in the recording tells both apart, except that
responses rarely change slowly over the order without a reason.

Where stimuli are interleaved, cosines are fitted together with the mean of each stimulus. In a
random order a drift only adds noise. If every stimulus is presented once before any is repeated,
its n trials have nearly all the drift D between them: the mean has none of it, and two halves have
opposite parts, whose covariance is -D / (n - 1). Reliability is too low, and a score that is
divided by it too high: with a third of the variance of trials, by 4 % for 8 trials and by 30 % for
2. Differences between sessions do the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from neurofit.errors import NeurofitError
from neurofit.metrics.averages import nanmedian
from neurofit.recordings.lazy import changed
from neurofit.recordings.recording import Recording

ORDER_COORDS = (
    "presentation_order",
    "order",
    "trial",
    "trial_number",
    "trial_index",
    "presentation_time",
    "presentation_index",
    "start_time",
    "onset_time",
)
"""Coordinates of presentations that state their order, the first that does is used."""

MAX_COSINES = 20
STIMULI_PER_COSINE = 10
PRESENTATIONS_PER_COSINE = 100
"""With stimulus means fitted, K cosines raise the correlation of noise in two halves by K / n."""

TOGETHER = 0.5
"""Trials of a stimulus are together if its order varies less than this share of what it would vary
in a random order."""

EVEN = 0.5
"""Trials of a stimulus are spread evenly if the means of stimuli over the order vary less than this
share of what they would vary in a random order."""

DETRENDED = "Detrended"
"""Beginning of the sentence on what `detrend` did."""

MIN_SHARE = 0.1
"""Share of the variance from which a drift is named.

The largest that was significant in recordings of V4 and AM, which are stored sorted by objects and
persons, was 0.07. A drift of this share raises a reliability by at most as much.
"""

P_VALUE = 0.001
"""Probability of naming any neuroid of a recording without drift."""

COLUMNS = 64
"""Columns that are computed at a time in float64."""

MIN_FREE = 20
"""Smallest number of degrees of freedom that the cosines leave."""


@dataclass(frozen=True)
class Order:
    """Order of presentation.

    Parameters
    ----------
    position
        Place of each presentation, from 0; presentations of unknown order share their mean place.
    stimulus_rows
        Row of each presentation's stimulus.
    words
        What the order is taken from, for messages.
    known
        Whether it can be the order in time.
    sessions
        Indicators of sessions, whose differences are looked for in place of a slow drift.
    """

    position: Float[np.ndarray, " presentation"]
    stimulus_rows: Int[np.ndarray, " presentation"]
    words: str
    known: bool = True
    sessions: Float[np.ndarray, "presentation session"] | None = None

    @cached_property
    def _between(self) -> tuple[float, float]:
        """Share of the variance of the order between stimuli, and that in a random order."""
        n, n_stimuli = len(self.position), int(self.stimulus_rows.max()) + 1
        places = self.position if self.sessions is None else self.sessions
        return _share_of_groups(places, self.stimulus_rows), (n_stimuli - 1) / max(n - 1, 1)

    @property
    def together(self) -> bool:
        """Whether trials of a stimulus are so close together that a drift counts as signal."""
        share, random = self._between
        return 1 - share < TOGETHER * (1 - random)

    @property
    def even(self) -> bool:
        """Whether trials of a stimulus are spread so evenly that a drift makes halves disagree."""
        share, random = self._between
        return share < EVEN * random

    @property
    def cosines(self) -> Float[np.ndarray, "presentation cosine"]:
        """The slow cosines at each presentation; there are none if it has too few."""
        if self.sessions is not None:
            return self.sessions
        n = len(self.position)
        if self.together:
            most = int(self.stimulus_rows.max() + 1) // STIMULI_PER_COSINE
        else:
            most = n // PRESENTATIONS_PER_COSINE
        waves = np.arange(1, min(MAX_COSINES, most) + 1)
        return np.asarray(np.sqrt(2) * np.cos(np.pi * np.outer((self.position + 0.5) / n, waves)))


def find_order(recording: Recording) -> Order:
    """Return the order of presentation.

    It is that of a coordinate (`ORDER_COORDS`) with different numbers for all presentations, or for
    those of each `session`; else the order of storage, if the trials of a stimulus are stored
    together or in the order of their repetitions. If all repetitions are stored one after the other
    with the stimuli in the same order, this is the layout of an array: only the order of
    repetitions is taken. So it is if the order of storage contradicts the repetitions; then it need
    not be the order in time.
    """
    rows, n = recording.stimulus_rows, len(recording.stimulus_rows)
    for name in ORDER_COORDS:
        if (ranked := _ranked_by(recording, name)) is not None:
            return Order(_places(ranked), rows, f"the order of the coordinate {name}")
    stored = Order(np.arange(n) * 1.0, rows, "the order in which presentations are stored")
    if stored.together:
        return stored
    repetition = np.unique(recording.responses.repetition.values, return_inverse=True)[1].ravel()
    one_by_one = bool((np.diff(repetition) >= 0).all())
    by_stimulus = np.lexsort((stored.position, rows))
    rising = np.diff(repetition[by_stimulus]) >= 0
    rising |= np.diff(rows[by_stimulus]) > 0
    within = stored.position - _group_means(stored.position[:, None], repetition)[repetition, 0]
    if rising.all() and not (one_by_one and _share_of_groups(within, rows) > TOGETHER):
        return stored
    places = _places(np.argsort(repetition, kind="stable"))
    means = _group_means(places[:, None], repetition)[repetition, 0]
    return Order(means, rows, "the order of repetitions", known=one_by_one)


def find_sessions(recording: Recording) -> Order | None:
    """Return the sessions of presentations as an order; None without a coordinate `session`."""
    session = recording.responses.coords.get("session")
    if session is None or session.dims != ("presentation",):
        return None
    names, numbers = np.unique(session.values.astype(str), return_inverse=True)
    if len(names) < 2:
        return None
    return Order(
        numbers.ravel() * 1.0,
        recording.stimulus_rows,
        "the sessions",
        known=False,
        sessions=np.eye(len(names))[numbers.ravel()],
    )


def _ranked_by(recording: Recording, name: str) -> np.ndarray | None:
    """Return presentations sorted by session and coordinate, or None if this is no order."""
    coords, dims = recording.responses.coords, ("presentation",)
    if name not in coords or coords[name].dims != dims or coords[name].dtype.kind not in "iufMm":
        return None
    values = coords[name].values.astype(np.float64)
    session = np.zeros(len(values), dtype=np.int64)
    if "session" in coords and coords["session"].dims == dims:
        _, first, numbers = np.unique(
            coords["session"].values.astype(str), return_index=True, return_inverse=True
        )
        session = first[numbers.ravel()]  # in the order of storage
    pairs = set(zip(session.tolist(), values.tolist(), strict=True))
    if np.isnan(values).any() or len(pairs) < len(values):
        return None
    return np.lexsort((values, session))


def _places(ranked: np.ndarray) -> Float[np.ndarray, " presentation"]:
    places = np.empty(len(ranked))
    places[ranked] = np.arange(len(ranked))
    return places


def _share_of_groups(values: np.ndarray, groups: np.ndarray) -> float:
    """Return the share of the variance of values (row [column]) that lies between groups."""
    values = values.reshape(len(values), -1)
    between, whole = (x.var(axis=0).sum() for x in (_group_means(values, groups)[groups], values))
    return float(between / max(whole, np.finfo(float).tiny))


def slow_shares(
    means: Float[np.ndarray, "presentation neuroid"], recording: Recording, order: Order
) -> Float[np.ndarray, " neuroid"]:
    """Return the share of each neuroid's variance that is slow drift, 0 if it may be chance.

    Where trials of a stimulus are together, it is the variance of the means of stimuli, beyond the
    means of the categories in the table of stimuli, which may be sorted by them. Otherwise it is
    the variance of trials around the mean of their stimulus. Values are replaced by their ranks,
    so that single trials and skewed counts do not decide; the F test of the cosines is corrected
    for the number of neuroids (Bonferroni).

    Parameters
    ----------
    means
        Mean of each trial over time bins; NaN if it is missing.
    recording
        Recording, of which the table of stimuli is used.
    order
        Order of presentation.
    """
    rows, slow = order.stimulus_rows, order.cosines
    if order.together:
        values, slow = _group_means(means, rows), _group_means(slow, rows)
        known = _categories(recording)
        n_removed = known.shape[1]
    else:
        values, n_removed = means, int(rows.max()) + 1

    def residual(x: np.ndarray) -> np.ndarray:
        fitted = known @ (known.T @ x) if order.together else _group_means(x, rows)[rows]
        return np.asarray(x - fitted)

    shares = np.zeros(values.shape[1])
    basis, sizes, _ = np.linalg.svd(residual(slow), full_matrices=False)
    basis = basis[:, sizes > 1e-6 * sizes.max(initial=0)]
    k = basis.shape[1]
    free = len(values) - n_removed - k
    if k == 0 or free < MIN_FREE:
        return shares
    for begin in range(0, len(shares), COLUMNS):
        columns = slice(begin, begin + COLUMNS)
        own = values[:, columns]
        # A missing mean takes the place of the middle, a missing trial that of its stimulus' mean.
        own = own - (nanmedian(own, axis=0) if order.together else _group_means(own, rows)[rows])
        ranked = stats.rankdata(residual(np.nan_to_num(own)), axis=0)
        left = residual(ranked - ranked.mean(axis=0))
        total, explained = np.square(left).sum(axis=0), np.square(basis.T @ left).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            chance = stats.f.sf(explained / k / ((total - explained) / free), k, free)
            share = explained / total - k / (k + free)
        shares[columns] = np.where(chance < P_VALUE / len(shares), share, 0.0)
    return shares


def detrend(recording: Recording) -> tuple[Recording, str]:
    """Return a recording without slow drift, and a sentence on it; responses are changed lazily.

    Where stimuli are interleaved, the cosines and the mean of each stimulus are fitted together to
    all trials (least squares), and the cosines subtracted; the means over trials hardly change.
    Where the trials of a stimulus are together, the cosines alone are fitted, so that responses to
    stimuli that change as slowly are removed too. The mean over presentations is kept.

    Raises
    ------
    NeurofitError
        If the order in time is not known, or there are too few presentations or stimuli for a
        single cosine.
    """
    order = find_order(recording)
    if not order.known:
        raise NeurofitError(
            f"Detrending needs the order of presentation, and that in which {recording.name} is "
            f"stored contradicts its repetitions. Add a coordinate {ORDER_COORDS[0]}."
        )
    slow, rows = order.cosines, order.stimulus_rows
    if not slow.shape[1]:
        needed, n, unit = (
            (STIMULI_PER_COSINE, rows.max() + 1, "stimuli")
            if order.together
            else (PRESENTATIONS_PER_COSINE, len(rows), "presentations")
        )
        raise NeurofitError(f"Detrending needs at least {needed} {unit}; {recording.name} has {n}.")

    def without_drift(trials: np.ndarray, neuroids: np.ndarray) -> np.ndarray:
        flat = trials.reshape(len(trials), -1)
        return _subtract_drift(flat, slow, rows, together=order.together).reshape(trials.shape)

    note = (
        f"{DETRENDED}: {slow.shape[1]} slow cosines over {order.words} were subtracted from each "
        "neuroid and time bin."
    )
    if order.together:
        note += (
            " The trials of a stimulus are together in this order: signal that changes slowly from "
            "stimulus to stimulus was removed with the drift."
        )
    return changed(recording, without_drift, note), note


def _subtract_drift(
    trials: np.ndarray,
    slow: Float[np.ndarray, "presentation cosine"],
    rows: Int[np.ndarray, " presentation"],
    *,
    together: bool,
) -> np.ndarray:
    """Return trials (presentation column) without drift, fitted where they are not missing."""
    present = ~np.isnan(trials)
    patterns, which = np.unique(np.packbits(present, axis=0), axis=1, return_inverse=True)
    made = np.full(trials.shape, np.nan, dtype=np.float32)
    for pattern in range(patterns.shape[1]):
        (columns,) = np.nonzero(which.ravel() == pattern)
        (shown,) = np.nonzero(present[:, columns[0]])
        if not len(shown):
            continue
        waves = slow[shown] - slow[shown].mean(axis=0)
        groups = np.unique(rows[shown], return_inverse=True)[1].ravel()
        free = waves if together else waves - _group_means(waves, groups)[groups]
        # Directions that the means of stimuli can take up are not fitted: they would add noise.
        variances, axes = np.linalg.eigh(free.T @ free / len(shown))
        axes = axes[:, variances > TOGETHER]
        for begin in range(0, len(columns), COLUMNS):
            cells = np.ix_(shown, columns[begin : begin + COLUMNS])
            values = trials[cells].astype(np.float64)
            fitted = np.linalg.lstsq(free @ axes, values, rcond=None)[0]
            made[cells] = values - (waves @ axes) @ fitted
    return made


def _group_means(
    values: Float[np.ndarray, "row column"], groups: Int[np.ndarray, " row"]
) -> Float[np.ndarray, "group column"]:
    """Return the mean of each group of rows over what is not NaN, or NaN if nothing is left."""
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    begins = np.cumsum(counts) - counts
    present = np.isfinite(values)
    if present.all():
        return np.asarray(np.add.reduceat(values[order], begins, axis=0) / counts[:, None])
    sums = np.add.reduceat(np.where(present, values, 0.0)[order], begins, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums / np.add.reduceat(present[order].astype(int), begins, axis=0))


def _categories(recording: Recording) -> Float[np.ndarray, "stimulus category"]:
    """Return an orthonormal basis of what the means of categories of stimuli can be.

    Categories are the columns of the table of stimuli with up to a quarter as many values as
    stimuli.
    """
    table = recording.stimuli.table
    indicators = [np.ones((len(table), 1))]
    for name in table:
        values, numbers = np.unique(table[name].astype(str).to_numpy(), return_inverse=True)
        if 1 < len(values) <= len(table) / 4:
            indicators.append(np.eye(len(values))[numbers.ravel()])
    basis, sizes, _ = np.linalg.svd(np.concatenate(indicators, axis=1), full_matrices=False)
    return np.asarray(basis[:, sizes > 1e-6 * sizes[0]])
