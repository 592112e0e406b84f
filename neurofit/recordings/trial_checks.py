"""What trials say against a recording: artefacts, slow drift and differences between sessions.

All are found in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from neurofit.errors import NeurofitError, counted, some_of
from neurofit.recordings.artefacts import LIMIT, update_largest
from neurofit.recordings.drift import (
    DETRENDED,
    MIN_SHARE,
    Order,
    find_order,
    find_sessions,
    slow_shares,
)
from neurofit.recordings.lazy import PROCESSING
from neurofit.recordings.recording import Recording
from neurofit.recordings.reliability import finite_blocks
from neurofit.recordings.validation import Values, validate_structure

MAX_WORST = 3
"""Longest list of the worst trials or neuroids in a sentence."""


@dataclass(frozen=True)
class TrialChecks:
    """Sentences about the trials of a recording.

    Parameters
    ----------
    biasing
        What changes the expected value of a reliability or of a score.
    noise
        What only adds noise.
    """

    biasing: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()


_known: WeakKeyDictionary[Recording, TrialChecks] = WeakKeyDictionary()


def check_trials(recording: Recording) -> TrialChecks:
    """Return what its trials say against a recording; it is read once, block by block.

    Nothing is said of a recording whose structure is not valid.
    """
    if recording not in _known:
        try:
            validate_structure(recording)
        except NeurofitError:
            return TrialChecks()
        _known[recording] = _check(recording)
    return _known[recording]


def _check(recording: Recording) -> TrialChecks:
    shape, rows = recording.responses.shape[:2], recording.stimulus_rows
    largest = np.zeros(shape, dtype=np.float32)
    sums, counts = np.zeros(shape), np.zeros(shape, dtype=np.int32)
    values = Values(recording)
    for neuroids, _, trials in finite_blocks(recording, values.add):
        update_largest(largest[:, neuroids], trials, rows, LIMIT)
        sums[:, neuroids] += np.nansum(trials, axis=2, dtype=np.float64)
        counts[:, neuroids] += (~np.isnan(trials)).sum(axis=2, dtype=np.int32)
    values.faults()  # validate_recording need not read it again
    with np.errstate(invalid="ignore"):
        sums /= counts
    names = recording.responses.neuroid_id.values.astype(str)
    if DETRENDED in str(recording.responses.attrs.get(PROCESSING, "")):
        largest[:] = (
            0  # counts less a small drift have no robust spread: see the trials as recorded
        )
    biasing, noise = list(_describe_artefacts(largest, names)), list[str]()
    for order in filter(None, (find_sessions(recording), find_order(recording))):
        found = _describe_drift(slow_shares(sums, recording, order), names, order)
        if found and (order.together or order.even):
            biasing += found
            break  # a drift is not told apart from sessions that differ
        noise += found
    return TrialChecks(biasing=tuple(biasing), noise=tuple(noise))


def _describe_artefacts(largest: np.ndarray, names: np.ndarray) -> tuple[str, ...]:
    found = largest > 0
    if not found.any():
        return ()
    presentations = np.flatnonzero(found.any(axis=1))
    worst = presentations[np.argsort(-largest[presentations].max(axis=1), kind="stable")]
    presentation, neuroid = np.unravel_index(largest.argmax(), largest.shape)
    listed = some_of(worst.tolist(), most=MAX_WORST)
    n_neuroids = int(found.any(axis=0).sum())
    return (
        f"Artefacts: {counted(int(found.sum()), 'trial')} of {counted(n_neuroids, 'neuroid')}, in "
        f"{counted(len(presentations), 'presentation')} ({listed}), more than {LIMIT:g} robust "
        "standard deviations from the other trials of their stimulus, at most "
        f"{largest.max():,.0f} (presentation {presentation}, neuroid {str(names[neuroid])!r}). "
        "Means and correlations depend on them. "
        f"--exclude-trials 'z>{LIMIT:g}' takes them as missing.",
    )


def _describe_drift(shares: np.ndarray, names: np.ndarray, order: Order) -> tuple[str, ...]:
    drifting = np.flatnonzero(shares >= MIN_SHARE)
    if not len(drifting):
        return ()
    worst = drifting[np.argsort(-shares[drifting], kind="stable")]
    listed = some_of([f"{names[each]!s} {shares[each]:.0%}" for each in worst], most=MAX_WORST)
    where = f"{len(drifting)} of {len(shares)} neuroids"
    apart = order.sessions is not None
    if order.together and apart:
        return (
            f"Sessions: the mean responses of {where} differ between sessions (share of the "
            f"variance: {listed}). Each stimulus is shown in few of them, so that the difference "
            "counts as signal and raises reliability and scores; sessions whose stimuli differ in "
            "content look the same. --stimuli session=NAME selects one.",
        )
    if order.together:
        return (
            f"Slow drift: in {order.words}, the mean responses of {where} change slowly from "
            f"stimulus to stimulus (share of the variance: {listed}). "
            "The trials of a stimulus are together in this order, so that a drift counts as signal "
            "and raises reliability and scores; stimuli sorted by content look the same. --detrend "
            "removes all slow changes, signal included.",
        )
    change = "Differences between sessions" if apart else f"Slow drift over {order.words}"
    effect = (
        f"The trials of a stimulus are spread evenly over {order.words}, so that halves of them "
        "differ while their mean does not: reliability is too low, and noise-corrected scores are "
        "too high"
        if order.even
        else "It adds noise"
    )
    effect += "; --detrend removes it." if order.known else "."
    return (f"{change} in {where} (share of the variance of trials: {listed}). {effect}",)
