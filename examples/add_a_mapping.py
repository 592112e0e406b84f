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
# In Python, a regression of scikit-learn needs no class of its own: for example,
# ``neurofit.ScoreConfig(mapping=KNeighborsRegressor(5))`` works. A class that is registered under a
# name can also be used from the command line.
#
# ``fit`` may keep what it learns on the object, which is copied for each split and trial half. A
# field made with ``option`` is an option of the command line, ``--best-unit-shrink`` here. To use
# the mapping there, put the imports and the class into a Python file and name it by ``--plugin``:
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
# - That a mixture of units predicts a site better does not show that the site is such a mixture:
#   more weights also make up for units that the model lacks.
# - Raw r differs more than the corrected scores: which unit is best depends on the noise of the
#   trials, and the correction estimates the score without this noise. A map fitted to
#   these trials would not reach it.
# - The intervals of ``best_unit`` ignore that other training images would lead to other units.
#   ``jackknife=20`` takes this into account, and the fits take about 21 times as long.
# - The simulated sites are themselves sums of several units of a network, which favours ridge.
