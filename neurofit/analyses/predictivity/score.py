"""Activations + recording + mapping + reliability -> a noise-corrected predictivity curve.

trials -> means of all trials and of trial halves -> r_yy
features -> Gram -> maps fitted to those means -> predictions of test stimuli -> r_xy, r_xx
r_xy, r_xx, r_yy per split, neuroid and time bin -> pooled over neuroids, divided -> curve
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from neurofit.analyses.analysis import register_analysis
from neurofit.analyses.encoding.cost import estimate_cost
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.result import MAX_INFLUENCE_BYTES, make_result
from neurofit.analyses.predictivity.statistics import Statistics
from neurofit.config.compute import Compute, Progress

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording


@register_analysis(ScoreConfig, cost=estimate_cost)
def score(
    activations: Activations,
    recording: Recording,
    config: ScoreConfig = ScoreConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Noise-corrected predictivity: how well a model predicts an area in time.

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order.
    recording
        Repeated trials of one area; NaN marks a missing trial. A stimulus with fewer than 2 valid
        trials is left out for that neuroid alone. Neuroids are fitted with those that have the same
        stimuli, in the splits that are drawn over all stimuli; a PLS is joint over these neuroids.
    config
        Mappings, time mode, splits and noise correction.
    compute
        Device, cores and cache; these do not change the numbers.
    progress
        Called with (what is being done, steps done, steps in total).

    Returns
    -------
    Dataset
        With `curve`, `curve_low`, `curve_high`, `ceiling` and `n_neuroids` (layer time_bin);
        the curves of the other formulas; r_xy, r_xx, r_yy per split, half, neuroid and bin; the
        influence of each stimulus; attributes from which it can be repeated.

    Raises
    ------
    NeurofitError
        If the recording is not valid, a layer or mapping is unknown, stimuli do not match, there
        are too few stimuli or repetitions, or no time bin can be predicted.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> model = neurofit.create_model("rgc_tiny")
    >>> activations = neurofit.extract(model, recording.stimuli, layers=["conv3"])
    >>> config = neurofit.ScoreConfig(layers=("conv3",), n_splits=2, n_halves=2)
    >>> result = neurofit.score(activations, recording, config)
    >>> result["curve"].dims, result["r_xy"].dims
    (('layer', 'time_bin'), ('layer', 'split', 'neuroid', 'time_bin'))
    """
    pools = config.formula == "pooled_r"
    fitting = Fitting(
        activations,
        recording,
        config,
        compute,
        smoothers=pools,
        learning_curve=config.learning_curve,
        jackknife=config.jackknife,
    )
    n_bytes = influence_bytes(fitting, config)
    stored = config.interval_over != "neuroids" or n_bytes <= MAX_INFLUENCE_BYTES
    statistics = Statistics.empty(fitting, config, influences=stored and not pools)
    fitting.run(statistics, progress=progress)
    result = make_result(fitting, statistics, config)
    if n_bytes > MAX_INFLUENCE_BYTES and not pools:
        result = result.drop_vars(
            [n for n, v in result.data_vars.items() if "influence_on" in v.attrs]
        )
        result.attrs["influences"] = f"not stored: they would take {n_bytes / 1e6:.0f} MB"
    return result


def influence_bytes(fitting: Fitting, config: ScoreConfig) -> int:
    """Return the size of the influences of stimuli on every neuroid and bin."""
    n_neuroids, n_bins = fitting.shape
    arrays = len(fitting.mappings) * fitting.n_rows * (1 + config.fit_halves) + 1
    return 4 * arrays * len(fitting.recording.stimuli) * n_neuroids * n_bins
