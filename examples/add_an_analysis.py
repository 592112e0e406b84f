"""
How do I add an analysis?
=========================

An analysis is a function of a recording, or of activations and a recording, with a dataclass of
options. Its result states the role of every variable; the command line, tables, figures and
reports then need no more code. This one asks how sparse the code of an area is over time.

Difficulty: advanced. Time: about 20 s on two cores.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt

import neurofit
from neurofit import Recording, figures, register_analysis
from neurofit.analyses.analysis import score_variable, variable
from neurofit.config.compute import Compute, Progress
from neurofit.config.options import check_fields, option
from neurofit.results.schema import time_coords

# %%
# The number
# ----------
# The sparseness of a site with mean responses :math:`r_s` to *S* images is (Rolls & Tovee 1995,
# Vinje & Gallant 2000)
#
# .. math:: \frac{1 - (\sum_s r_s / S)^2 / (\sum_s r_s^2 / S)}{1 - 1 / S}
#
# Trial noise raises the mean square, and with it the sparseness. The product of two different
# trials of an image has no noise in its mean, so the mean square is taken from these.


def sparseness_of(
    responses: np.ndarray, rows: np.ndarray, n_stimuli: int, *, corrected: bool = True
) -> np.ndarray:
    """Return the sparseness of responses (presentation neuroid) to the stimuli in `rows`."""
    sums, squares = np.zeros((2, n_stimuli, responses.shape[1]))
    np.add.at(sums, rows, responses)
    np.add.at(squares, rows, responses**2)
    n = np.bincount(rows, minlength=n_stimuli)[:, None]
    of_pairs = (sums**2 - squares) / (n * (n - 1)) if corrected else (sums / n) ** 2
    activity = (sums / n).mean(axis=0) ** 2 / of_pairs.mean(axis=0)
    sparse: np.ndarray = (1 - activity) / (1 - 1 / n_stimuli)
    return sparse


# %%
# The analysis
# ------------
# ``models=0`` says that it takes a recording alone. In a file of its own it runs as ``neurofit
# --plugin FILE.py analyse sparseness --region IT``, with ``--n-bootstraps`` as an option.


@dataclass(frozen=True, kw_only=True)
class SparsenessConfig:
    """Options of a sparseness."""

    n_bootstraps: int = option(500, least=1, help="Number of bootstrap samples of the sites.")
    seed: int = option(0, least=0, help="Random seed of the bootstrap.")

    def __post_init__(self) -> None:
        check_fields(self)


@register_analysis(SparsenessConfig, models=0)
def sparseness(
    recording: Recording,
    config: SparsenessConfig = SparsenessConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Sparseness of the code of an area over time."""
    bins, n = recording.time_bins, len(recording.stimuli)
    sites = np.stack(
        [sparseness_of(recording.block(b), recording.stimulus_rows, n) for b in range(len(bins))],
        axis=1,
    )
    rng = np.random.default_rng(config.seed)
    draws = rng.integers(len(sites), size=(config.n_bootstraps, len(sites)))
    low, high = np.quantile(np.median(sites[draws], axis=1), (0.025, 0.975), axis=0)
    words = "95% interval over sites"
    return xr.Dataset(
        {
            "curve": score_variable(
                ("time_bin",),
                np.median(sites, axis=0),
                long_name="sparseness",
                formula="sparseness without trial noise, median over sites",
                best=float("nan"),
                column="sparseness",
                low="curve_low",
                high="curve_high",
                interval=words,
            ),
            "curve_low": variable(("time_bin",), low, "interval", f"low end of the {words}"),
            "curve_high": variable(("time_bin",), high, "interval", f"high end of the {words}"),
            "of_sites": variable(("neuroid", "time_bin"), sites, "detail", "sparseness of sites"),
        },
        coords={
            "neuroid_id": ("neuroid", recording.responses.neuroid_id.values),
            **time_coords(*np.array(bins).T),
        },
    )


# %%
# It finds what was planted
# -------------------------
# Rates with an exponential distribution have a sparseness of one half. Each of 50 sites sees 2,000
# images in four trials, with Poisson noise.

rng = np.random.default_rng(0)
rates = rng.exponential(1.0, size=(2000, 50))
trials = rng.poisson(np.tile(rates, (4, 1))).astype(float)
rows = np.tile(np.arange(2000), 4)
for words, corrected in (("with", True), ("without", False)):
    found = np.median(sparseness_of(trials, rows, 2000, corrected=corrected))
    print(f"planted 0.50, found {found:.2f} {words} the correction for trial noise")

# %%
# Two areas
# ---------

recording = neurofit.load_recording("hvm-sim", window=(100, 260))
results = {region: sparseness(recording.select(region=region)) for region in ("V4", "IT")}
for region, result in results.items():
    span = slice(100, 160)
    ends = (result[name].sel(time_bin=span).values for name in ("curve_low", "curve_high"))
    words = ", ".join(f"{low:.2f} to {high:.2f}" for low, high in zip(*ends, strict=True))
    print(f"{region}: sparseness in 100-160 ms {words}")

with figures.style():
    figure, ax = plt.subplots(figsize=(4.7, 2.6), layout="constrained")
    figures.curves(results, ax)
plt.show()

# %%
# What may not be concluded
# -------------------------
# - Sparseness depends on the images and on the baseline rate of the sites; areas that were shown
#   other images cannot be compared.
# - The interval is over sites, for these images: it says nothing about others.
# - The sites are simulated. Their sparseness is that of a program's choice of thresholds.
