"""
Is my recording reliable enough?
================================

A score is corrected for trial noise, which is possible only where the responses of two halves of
the trials agree. The recording is checked for faults, its reliability is estimated for each area
and time bin, and then once more with fewer trials: how many would have been enough?

Difficulty: beginner. Time: about 30 s on two cores.
"""

from dataclasses import replace

import numpy as np
from matplotlib import pyplot as plt

import neurofit
from neurofit import figures
from neurofit.recordings.plausibility import plausibility_warnings

# %%
# Is it what I think it is?
# -------------------------
# ``validate_recording`` raises an error that lists every fault. The notes name what is allowed but
# rarely meant, such as artefacts, slow drift and areas that respond too early. In a shell,
# ``neurofit check mine.nc --plot mine.png`` does both, and draws what was read.

recording = neurofit.load_recording("hvm-sim")
neurofit.validate_recording(recording)
sizes = recording.responses.sizes
print(
    f"no faults in {sizes['presentation']:,} presentations x {sizes['neuroid']} sites x "
    f"{sizes['time_bin']} time bins"
)
for note in plausibility_warnings(recording):
    print(f"note: {note}")

# %%
# When is it reliable?
# --------------------
# The reliability of a site is the correlation of two halves of the trials over images, corrected to
# all trials. The curve is the median over sites, with an interval over sites and images.

config = neurofit.CeilingConfig(n_halves=5, n_bootstraps=200)
areas = {region: recording.select(region=region) for region in ("V4", "IT")}
ceilings = {region: neurofit.ceiling(area, config) for region, area in areas.items()}
for region, result in ceilings.items():
    usable = result.time_bin_start.values[result.curve_low.values > 0.1]
    print(
        f"{region}: median reliability at most {result.curve.max().item():.2f}; the interval lies "
        f"above 0.1 from {usable.min()} ms on"
    )

# %%
# How many trials would do?
# -------------------------
# The same, in one time bin of each area, with the first trials of each image alone. By the formula
# of Spearman and Brown, the reliability with all of these trials says what more would give.

bins = {"V4": (100, 110), "IT": (150, 160)}
trials = (2, 4, 8, 12, 16, 20)
fewer: dict[str, list[float]] = {}
for region, window in bins.items():
    area = areas[region].select(window=window)
    fewer[region] = []
    for n in trials:
        kept = area.responses.isel(presentation=area.responses.repetition.values < n)
        result = neurofit.ceiling(replace(area, responses=kept), config)
        fewer[region].append(result.curve.item())
    words = ", ".join(f"{r:.2f} ({n})" for r, n in zip(fewer[region], trials, strict=True))
    half = trials[-1] * (1 - fewer[region][-1]) / fewer[region][-1]
    print(f"{region}, {window[0]}-{window[1]} ms: reliability (trials of an image) {words}")
    print(f"{region}: a reliability of 0.5 would take about {half:.0f} trials")

with figures.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.6), layout="constrained")
    figures.curves(
        {region: result.drop_vars("reliability") for region, result in ceilings.items()}, left
    )
    more = np.arange(1, 61)
    colours = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    for colour, (region, (start, end)) in zip(colours, bins.items(), strict=False):
        last = fewer[region][-1]
        expected = more * last / (more * last + trials[-1] * (1 - last))
        right.plot(trials, fewer[region], "o", color=colour, label=f"{region}, {start}-{end} ms")
        right.plot(more, expected, "--", color=colour, label="Spearman-Brown")
    right.set(xlabel="Trials of each image", ylabel="Split-half reliability", ylim=(0, None))
    right.legend(loc="upper left")
plt.show()

# %%
# What may not be concluded
# -------------------------
# - Reliability is no upper bound of a noise-corrected score, whose perfect value is 1. It bounds
#   the *raw* correlation: by its square root.
# - A reliable recording may still be wrong. Drift that follows the images, or one image that was
#   shown twice under two names, raises reliability.
# - Trials do not replace images: a map that is fitted to few images predicts poorly, however
#   reliable they are.
# - The trials and the sites are simulated, so the number of trials that you need is another one.
