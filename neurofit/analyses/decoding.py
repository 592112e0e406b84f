"""What can be decoded, and when? Decoders of an area and of a model's layers over time.

Decoders of what an image shows (`neurofit.analyses.decoders`) are fitted in each time bin and
tested on other images, in their own bin and in all others: the temporal generalisation of King &
Dehaene (2014, Trends Cogn. Sci. 18:203). Accuracy is the mean over labels, so that chance is 1 /
number of labels however many images each has.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy.stats import norm

from neurofit.analyses.analysis import register_analysis, score_variable, variable
from neurofit.analyses.decoders import DecodersConfig, Decoding
from neurofit.config.compute import Compute, Progress
from neurofit.metrics.solution_times import image_dprimes
from neurofit.metrics.two_way import percent
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording


@dataclass(frozen=True, kw_only=True)
class DecodingConfig(DecodersConfig):
    """Options of decoding over time; those of every analysis with decoders.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.DecodingConfig(labels="object_name", n_folds=5)
    DecodingConfig(labels='object_name', n_folds=5)
    """


@register_analysis(DecodingConfig)
def decoding(
    activations: Activations,
    recording: Recording,
    config: DecodingConfig = DecodingConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Accuracy of decoders of objects or categories over time, for a recording and for layers.

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order.
    recording
        Trials of one area, whose stimuli have labels; neuroids that lack a stimulus are left out.
    config
        Labels, layers, folds, numbers of sites and decoder.
    compute
        Not used.
    progress
        Called with ("decoders", samples of sites or units done, samples in total).

    Returns
    -------
    Dataset
        `accuracy` with `accuracy_low` and `accuracy_high`, and `dprime` (model time_bin), of the
        recording and of each layer; `chance` (time_bin); `generalisation` (model time_bin_train
        time_bin), the accuracy of the decoders of one bin in another; `i1` (model stimulus
        time_bin), the d' of each image.

    Raises
    ------
    NeurofitError
        If stimuli do not match or have no labels, a layer is unknown, there are fewer sites or
        units than asked for, or a fold has all images of a label.

    References
    ----------
    King & Dehaene (2014), Trends Cogn. Sci. 18:203; Rajalingham et al. (2018), J. Neurosci.
    38:7255.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> model = neurofit.create_model("rgc_tiny")
    >>> activations = neurofit.extract(model, recording.stimuli, layers=["conv3"])
    >>> config = neurofit.DecodingConfig(layers=("conv3",), n_folds=3, n_samples=1, n_sites=10)
    >>> result = neurofit.decoding(activations, recording, config)
    >>> result["generalisation"].dims
    ('model', 'time_bin_train', 'time_bin')
    """
    del compute
    found = Decoding(activations, recording, config)
    n_bins, n_images = len(recording.time_bins), len(recording.stimuli)
    hits, dprimes = [], []
    for done, (_, samples) in enumerate(found.systems()):
        right, single = np.zeros((n_bins, n_bins, n_images)), np.zeros((n_bins, n_images))
        for patterns in samples:
            decoded = found.decode(patterns, generalise=True)
            right += decoded.hits / len(samples)
            single += image_dprimes(decoded.probabilities, found.labels.of) / len(samples)
        there = np.asarray(np.isfinite(single).all(axis=1))
        hits.append(np.where(there[:, None, None] & there[:, None], right, np.nan))
        dprimes.append(single)
        if progress:
            progress("decoders", done + 1, len(found.names))
    return _make_result(recording, found, np.stack(hits), np.stack(dprimes))


def _make_result(
    recording: Recording, found: Decoding, hits: np.ndarray, dprimes: np.ndarray
) -> xr.Dataset:
    config, labels = found.config, found.labels
    bins = np.array(recording.time_bins)
    dims = ("model", "time_bin")
    words = f"{percent(config.interval)} interval over images, for each time bin on its own"
    own = np.moveaxis(np.diagonal(hits, axis1=1, axis2=2), -1, 1)
    accuracy, error = found.mean(own)
    margin = norm.ppf((1 + config.interval) / 2) * error
    formula = "share of images whose label is the most probable one, mean over labels"
    made = {
        "accuracy": score_variable(
            dims,
            accuracy,
            long_name=f"decoding accuracy of {labels.column}",
            formula=formula,
            low="accuracy_low",
            high="accuracy_high",
            interval=words,
            bound="chance",
            column="accuracy",
        ),
        "accuracy_low": variable(dims, accuracy - margin, "interval", f"low end: {words}"),
        "accuracy_high": variable(dims, accuracy + margin, "interval", f"high end: {words}"),
        "chance": variable(
            ("time_bin",),
            np.full(len(bins), 1 / len(labels.names)),
            "bound",
            "chance",
            scale="score",
        ),
        "dprime": score_variable(
            dims,
            found.mean(dprimes)[0],
            long_name=f"d' of images for their {labels.column}, mean over images",
            formula="z(1 - false alarms of the image) - z(false alarms of the distractor's images)",
            best=np.nan,
            column="d'",
        ),
        "generalisation": score_variable(
            ("model", "time_bin_train", "time_bin"),
            found.mean(hits)[0],
            long_name=f"accuracy of decoders of another time bin, {labels.column}",
            formula=formula,
        ),
        "i1": variable(
            ("model", "stimulus", "time_bin"),
            np.swapaxes(dprimes, 1, 2).astype(np.float32),
            "detail",
            "d' of each image, mean over distractors",
        ),
    }
    return xr.Dataset(
        made,
        coords={
            "model": found.names,
            "stimulus_id": ("stimulus", recording.stimuli.ids.astype(str)),
            **time_coords(*bins.T, dim="time_bin_train"),
            **time_coords(*bins.T),
        },
        attrs={
            "method": found.method,
            "notes": json.dumps(found.notes),
        },
    )
