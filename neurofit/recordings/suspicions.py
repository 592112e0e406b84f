"""What may be right, but is rarely what was recorded: rates, equal trials, and early responses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurofit.errors import NeurofitError, counted, some_of
from neurofit.metrics.averages import nanmean
from neurofit.recordings.rebinning import are_counts, over_all_bins
from neurofit.recordings.recording import Recording
from neurofit.recordings.reliability import finite_blocks, half_correlations
from neurofit.recordings.validation import validate_structure

LOWEST, HIGHEST = 0.01, 500.0
"""Mean rates, in spikes per second, outside of which a neuroid is named."""

PER_SECOND = ("spikes per second", "spikes/s", "rates", "hz")
"""Units of rates."""

LEAST_RESPONSES = 20
"""Number of values other than 0 from which equal trials are no coincidence."""

LATENCY = 30
"""Time from onset, in ms, before which no area of the ventral stream responds to an image.

The first spikes of V1 come after about 40 ms (Nowak & Bullier 1997)."""

MIN_STIMULI = 20

N_SE = 4
"""Number of standard errors from which an early correlation is no coincidence."""


def suspicions(recording: Recording) -> list[str]:
    """Return a sentence for each; the recording is read twice, block by block.

    Nothing is said of a recording whose structure is not valid.
    """
    try:
        validate_structure(recording)
    except NeurofitError:
        return []
    return [*_trials(recording), *_early(recording)]


def _trials(recording: Recording) -> list[str]:
    responses = recording.responses
    n_presentations, n_neuroids, n_bins = responses.shape
    rng = np.random.default_rng(0)
    weights = rng.random((n_neuroids, n_bins))
    widths = np.array([end - start for start, end in recording.time_bins])
    prints, filled = np.zeros(n_presentations), np.zeros(n_presentations, dtype=np.int64)
    seen = np.zeros(n_presentations, dtype=bool)
    sums, seconds = np.zeros(n_neuroids), np.zeros(n_neuroids)
    for neuroids, bins, trials in finite_blocks(recording):
        values = np.nan_to_num(trials)
        prints += np.einsum("pnt,nt->p", values, weights[neuroids, bins], dtype=np.float64)
        filled += np.count_nonzero(values, axis=(1, 2))
        seen |= ~np.isnan(trials).all(axis=(1, 2))
        factor = np.ones(len(widths[bins])) if are_counts(responses) else widths[bins] / 1000
        sums[neuroids] += np.einsum("pnt,t->n", values, factor, dtype=np.float64)
        seconds[neuroids] += (~np.isnan(trials)).sum(axis=0) @ (widths[bins] / 1000)
    found = []
    units = str(responses.attrs.get("units", "")).strip().lower()
    if are_counts(responses) or units in PER_SECOND:
        found += _unlikely_rates(sums / np.maximum(seconds, 1e-9), responses.neuroid_id.values)
    silent = np.flatnonzero(seen & (filled == 0))
    nearly = (filled > 0) & (filled <= LEAST_RESPONSES / 2)
    if len(silent) > max(1, nearly.sum()) and np.median(filled) >= LEAST_RESPONSES:
        found.append(
            f"Presentations in which all responses are 0: {len(silent):,} (number "
            f"{some_of(silent.tolist())}). Zeros may stand for trials that were not recorded; mark "
            "them as NaN."
        )
    rows = np.flatnonzero(filled >= LEAST_RESPONSES)
    order = rows[np.argsort(prints[rows], kind="stable")]
    twins = np.flatnonzero(np.diff(prints[order]) == 0)
    if len(twins):
        pairs = [f"{order[each]} and {order[each + 1]}" for each in twins]
        found.append(
            f"Presentations with equal responses of all neuroids in all bins: {some_of(pairs)}. "
            "A trial may have been read twice."
        )
    return found


def _unlikely_rates(rates: np.ndarray, names: np.ndarray) -> list[str]:
    found = []
    for unlikely, words in (
        (rates > HIGHEST, f"above {HIGHEST:g}"),
        ((rates < LOWEST) & (rates > 0), f"below {LOWEST:g}"),
    ):
        if unlikely.any():
            listed = some_of(
                [f"{names[each]} {rates[each]:.3g}" for each in np.flatnonzero(unlikely)], most=3
            )
            found.append(
                f"Mean rates {words} spikes/s: {counted(int(unlikely.sum()), 'neuroid')} "
                f"({listed}). The units of responses or times may be others."
            )
    return found


def _early(recording: Recording) -> list[str]:
    """Return a sentence for each area whose first bins tell stimuli apart before any latency."""
    bins = [number for number, (_, end) in enumerate(recording.time_bins) if end <= LATENCY]
    n_stimuli = len(recording.stimuli)
    if not bins or n_stimuli < MIN_STIMULI or np.bincount(recording.stimulus_rows).min() < 2:
        return []
    found = []
    last = recording.time_bins[bins[-1]][1]
    for region in recording.regions:
        area = recording.select(region=region)
        early = replace(area, responses=area.responses.isel(time_bin=bins), truth=None)
        r = half_correlations(over_all_bins(early), n_halves=5).r
        mean = float(np.nanmean(nanmean(r, axis=0))) if not np.isnan(r).all() else 0.0
        # Neuroids that share all their noise have the error of one: 1 / sqrt(stimuli).
        if mean > N_SE / np.sqrt(n_stimuli):
            found.append(
                f"{region or 'The area'} tells stimuli apart before {last} ms, earlier than any "
                f"latency (correlation of trial halves {mean:.2f}). Bins may be late or shifted, "
                "or a stimulus may always follow the same one."
            )
    return found
