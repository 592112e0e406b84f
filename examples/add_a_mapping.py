"""
How do I add a mapping?
=======================

A mapping is a class with ``fit`` and ``predict``. This one gives each site the single unit that it
correlates with best, in place of a weighted sum of all units as in ridge. How much of the score
is due to the mixing of units?

Difficulty: intermediate. Time: about 30 s on two cores.
"""

from dataclasses import dataclass

import numpy as np

import neurofit
from neurofit import figures
from neurofit.config.options import check_fields, option

# %%
# The mapping
# -----------
# ``fit`` may keep what it learns on the object, which is copied for each split and trial half. A
# field made with ``option`` is an option of the command line, ``--best-unit-shrink`` here:
# ``neurofit --plugin best_unit.py score --model rgc_tiny --region V4 --mapping best_unit``.


@neurofit.register_mapping("best_unit")
@dataclass
class BestUnit:
    """The unit that correlates best with each site, scaled to it."""

    shrink: float = option(1.0, above=0, help="Factor of the slopes.")

    def __post_init__(self) -> None:
        check_fields(self)

    def fit(self, features: np.ndarray, responses: np.ndarray) -> "BestUnit":
        """Choose a unit for each site from features (row unit) and responses (row neuroid)."""
        self.means = features.mean(axis=0), responses.mean(axis=0)
        x, y = features - self.means[0], responses - self.means[1]
        covariance, variance = x.T @ y, (x**2).sum(axis=0)
        used = variance > 1e-9 * variance.max()  # a unit that does not vary predicts nothing
        r = np.where(used[:, None], covariance / np.sqrt(np.where(used, variance, 1))[:, None], 0)
        self.units = abs(r).argmax(axis=0)
        sites = np.arange(len(self.units))
        self.slopes = self.shrink * covariance[self.units, sites] / variance[self.units]
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the predicted responses (row neuroid)."""
        x = features[:, self.units] - self.means[0][self.units]
        predicted: np.ndarray = x * self.slopes + self.means[1]
        return predicted


# %%
# It finds what was planted
# -------------------------
# Each of five sites is a unit with noise.

rng = np.random.default_rng(0)
features = rng.normal(size=(200, 30))
planted = np.array([3, 11, 4, 27, 18])
responses = 2 * features[:, planted] + rng.normal(size=(200, 5))
found = BestUnit().fit(features, responses)
print("units planted:", planted, "found:", found.units, "slopes:", found.slopes.round(2))

# %%
# Both mappings, on the same splits
# ---------------------------------
# Several mappings are a dimension of the result.

recording = neurofit.load_recording("hvm-sim", region="V4", window=(70, 120))
activations = neurofit.extract(
    neurofit.create_model("timedecay_tiny"),
    recording.stimuli,
    layers=["conv3"],
    time_bins=recording.time_bins,
)
config = neurofit.ScoreConfig(
    mapping=("ridge", "best_unit"), layers=("conv3",), n_splits=4, n_halves=3
)
result = neurofit.score(activations, recording, config)
print("noise-corrected r in", *(f"{start}-{end}" for start, end in recording.time_bins), "ms")
for mapping in result.mapping.values:
    curve = result.curve.sel(mapping=mapping, layer="conv3").values
    print(f"{mapping:10}", *(f"{value:5.2f}" for value in curve))

figures.show(figures.draw(result))

# %%
# What may not be concluded
# -------------------------
# - A site is no mixture of units because a mixture predicts it better: more weights also make up
#   for units that the model lacks.
# - Raw r differs more than the corrected scores: which unit is best depends on the noise of the
#   trials, and the correction estimates the score without this noise. It is no score that a map
#   fitted to these trials would reach.
# - The intervals of ``best_unit`` leave out that other images would choose other units. With
#   ``jackknife=20`` they include it, and the fits take about 21 times as long.
# - The simulated sites are themselves sums of several units of a network, which favours ridge.
