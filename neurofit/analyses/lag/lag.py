"""Which model time belongs to which recorded time? Lag and pace of a recording behind a model.

    recorded time = intercept + pace model time
    lag = recorded time - model time, in the middle of the compared time bins

For each model time and recorded bin, ridge predicts stimuli that are left out; r is averaged over
neuroids. The lag and the pace are those of the affine map along which the mean of r over recorded
bins is the largest. Every candidate is compared in the same bins.

The estimate and its interval are from all stimuli. What the map is worth is a question of
prediction: in each split, the training stimuli choose a lag and a pace, and the maps from those
model times are scored on the test stimuli next to the one-to-one map.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurofit.analyses.analysis import register_analysis
from neurofit.analyses.encoding.cost import estimate_cost
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.training import training_reliability
from neurofit.analyses.lag.candidates import Candidates
from neurofit.analyses.lag.config import LagConfig
from neurofit.analyses.lag.estimate import best_of, estimate
from neurofit.analyses.lag.held_out import HeldOut, ShiftedFitting
from neurofit.analyses.lag.layer import Layer
from neurofit.analyses.lag.profile import Profile
from neurofit.analyses.lag.responses import Responses
from neurofit.analyses.lag.result import make_result
from neurofit.config.compute import Compute, Progress
from neurofit.metrics.pooled import deal_strata

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording


@register_analysis(LagConfig, cost=estimate_cost)
def lag(
    activations: Activations,
    recording: Recording,
    config: LagConfig = LagConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Lag and pace of a recording behind a model: which model time predicts which recorded time.

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order, at all timesteps that the lags and
        paces reach.
    recording
        Repeated trials of one area, in time bins of equal width.
    config
        Layers, splits and halves; range of lags and paces.
    compute
        Device, cores and cache; these do not change the numbers.
    progress
        Called with (what is being done, steps done, steps in total).

    Returns
    -------
    Dataset
        `lag`, `pace` and `intercept` (layer) with intervals; NaN where the interval reaches an end
        of the candidates, so that none is defined. `predictivity` (layer time_bin_model time_bin)
        of each model time, and `model_time` (layer time_bin) of the best map. On test stimuli,
        `curve` with the model time that training stimuli chose and `curve_one_to_one`, with
        intervals and bands, and `gain` (layer), their mean difference.

    Raises
    ------
    NeurofitError
        As `neurofit.score`, if bins differ in width, and if lags and paces reach beyond the model's
        timesteps in all but two bins.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(100, 140))
    >>> model = neurofit.create_model("rgc_tiny")
    >>> activations = neurofit.extract(model, recording.stimuli, layers=["conv3"])
    >>> options = {"lags": (-10, 10), "paces": (1, 1), "n_splits": 2, "n_halves": 2}
    >>> config = neurofit.LagConfig(layers=("conv3",), **options)
    >>> result = neurofit.lag(activations, recording, config)
    >>> result["predictivity"].dims
    ('layer', 'time_bin_model', 'time_bin')
    """
    config.check_recording(recording)
    found: list[Layer] = []
    for name in config.layers_for(activations, recording.regions[0]):
        own = replace(config, layers=(name,))
        candidates = Candidates.of(activations, name, recording, config)
        fitting = Fitting(activations, recording, own, compute, smoothers=True)
        if not found:
            strata = deal_strata(training_reliability(fitting))
            responses = Responses.read(fitting, strata)
        profile = Profile.of(
            fitting, name, candidates, responses, alphas=config.ridge.alphas, progress=progress
        )
        best = estimate(
            profile,
            candidates,
            over=config.interval_over,
            level=config.interval,
            seed=config.seed,
        )
        weights = candidates.weights.reshape(len(candidates.lags), -1)
        chosen = np.array([best_of(weights @ each.ravel()) for each in profile.training])
        shifted = ShiftedFitting.of(fitting, candidates, chosen)
        scores = HeldOut.empty(shifted, strata)
        shifted.run(scores, progress=progress)
        found.append(Layer(name, candidates, profile, best, chosen, scores))
    return make_result(shifted, found, responses, config)
