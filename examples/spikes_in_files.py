"""
My spikes are in NWB, MATLAB or tables
======================================

The same small recording is written in three formats that laboratories use: an NWB file with spike
times, MATLAB arrays with counts, and tables of spikes. Each is read, the three are equal, one is
converted, and a model is scored on it.

Difficulty: beginner. Time: about 25 s on two cores.
"""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pynwb
from PIL import Image
from scipy.io import savemat

import neurofit
from neurofit import figures

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)

# %%
# A planted recording
# -------------------
# Eight V4 sites see 60 images six to ten times, from 0 to 200 ms. From 80 ms on, the rate of a site
# is that of the brightness at its place in the image, so we know what a model should find.

rng = np.random.default_rng(0)
n_stimuli, n_sites = 60, 8
pictures = rng.integers(0, 256, (n_stimuli, 8, 8), dtype=np.uint8)
rates = 20 + pictures.reshape(n_stimuli, -1)[:, 5::8] / 2.0  # spikes/s: (stimulus, site)
order = rng.permutation(np.repeat(np.arange(n_stimuli), rng.integers(6, 11, n_stimuli)))
spikes = []
for presentation, stimulus in enumerate(order):
    for site, rate in enumerate(rates[stimulus]):
        early = rng.uniform(0, 80, rng.poisson(0.8))
        late = rng.uniform(80, 200, rng.poisson(rate * 0.12))
        times = np.floor(np.append(early, late) * 10) / 10 + 0.05  # between the edges of bins
        spikes += [(presentation, site, time) for time in np.sort(times)]
table = pd.DataFrame(spikes, columns=["presentation", "site", "time_ms"])
names = [f"image{stimulus:02}" for stimulus in range(n_stimuli)]
sites = [f"v4-{site}" for site in range(n_sites)]
print(f"{len(table):,} spikes of {n_sites} sites in {len(order)} presentations")

images = folder / "stimuli"
images.mkdir()
for name, picture in zip(names, pictures, strict=True):
    Image.fromarray(picture).resize((64, 64), Image.Resampling.NEAREST).save(images / f"{name}.png")

# %%
# A small JSON file beside the recording states what the recording itself does not: here, among
# others, the time bins and the width of the images, without which no model can be scored.

SIDECAR = {"bins": [0, 200, 20], "visual_degrees": 8, "duration_ms": 100, "region": "V4"}

# %%
# NWB --- Units have spike times from the start of the session in seconds, trials the onset of the
# image.

nwb = pynwb.NWBFile(
    session_description="planted",
    identifier="planted",
    session_start_time=datetime(2024, 1, 1, tzinfo=UTC),
)
onsets = 1.0 + 0.5 * np.arange(len(order))
nwb.add_trial_column("stimulus_onset", "when the image came on")
nwb.add_trial_column("stimulus_id", "name of the image")
for onset, stimulus in zip(onsets, order, strict=True):
    nwb.add_trial(
        start_time=onset - 0.1,
        stop_time=onset + 0.3,
        stimulus_onset=onset,
        stimulus_id=names[stimulus],
    )
nwb.add_unit_column("neuroid_id", "name of the site")
for site, name in enumerate(sites):
    own = table[table.site == site]
    seconds = onsets[own.presentation] + own.time_ms / 1000
    nwb.add_unit(spike_times=seconds.to_numpy(), neuroid_id=name)
with pynwb.NWBHDF5IO(folder / "session.nwb", "w") as file:
    file.write(nwb)
(folder / "session.json").write_text(json.dumps(SIDECAR))

# %%
# MATLAB
# ------
# Counts (presentation neuroid time_bin), with an array for each axis.

edges = np.arange(0, 201, 20)
counts = np.zeros((len(order), n_sites, 10))
np.add.at(counts, (table.presentation, table.site, (table.time_ms // 20).astype(int)), 1)
savemat(
    folder / "counts.mat",
    {
        "responses": counts,
        "dims": np.array(["presentation", "neuroid", "time_bin"], dtype=object),
        "stimulus_id": np.array([names[stimulus] for stimulus in order], dtype=object),
        "neuroid_id": np.array(sites, dtype=object),
        "bin_edges": edges,
        "units": "spikes per bin",
    },
)
(folder / "counts.json").write_text(
    json.dumps({key: value for key, value in SIDECAR.items() if key != "bins"})
)

# %%
# Tables
# ------
# Three tables in a folder also record which sites and presentations had no spike.

(folder / "tables").mkdir()
table.assign(neuroid_id=[sites[site] for site in table.site]).drop(columns="site").to_csv(
    folder / "tables" / "spikes.csv", index=False
)
pd.DataFrame(
    {"presentation": range(len(order)), "stimulus_id": [names[stimulus] for stimulus in order]}
).to_csv(folder / "tables" / "presentations.csv", index=False)
pd.DataFrame({"neuroid_id": sites, "region": "V4"}).to_csv(
    folder / "tables" / "neuroids.csv", index=False
)
(folder / "tables" / "recording.json").write_text(json.dumps(SIDECAR))

# %%
# Read all three
# --------------
# The format is detected from the content. Presentations are paired by image and repetition, sites
# by their names.

recordings = {
    path: neurofit.load_recording(folder / path, images=images)
    for path in ("session.nwb", "counts.mat", "tables")
}
means = {}
for path, recording in recordings.items():
    responses = recording.responses
    sums = responses.groupby("stimulus_id").sum("presentation").transpose("stimulus_id", ...)
    means[path] = sums.values[:, np.argsort(responses.neuroid_id.values)]
    print(f"{path:12} {dict(responses.sizes)}, {int(responses.sum()):,} spikes")
for path in ("counts.mat", "tables"):
    print(f"session.nwb equals {path}: {np.array_equal(means['session.nwb'], means[path])}")

# %%
# Check, convert and score
# ------------------------
# The netCDF file is read one time bin at a time, so it may be larger than memory. In a shell:
# ``neurofit check``, ``neurofit data convert`` and ``neurofit score``.

neurofit.validate_recording(recordings["session.nwb"])
neurofit.write_recording(recordings["session.nwb"], folder / "mine.nc")
mine = neurofit.load_recording(folder / "mine.nc")
result = neurofit.run(
    neurofit.RunConfig(
        model="baseline:pixels",
        recording=folder / "mine.nc",
        analysis=neurofit.ScoreConfig(n_splits=5, n_halves=5),
    )
)
for (start, end), value in zip(mine.time_bins, result.curve.values[0], strict=True):
    print(f"{start}-{end} ms  noise-corrected r {value:.2f}")

# %%
# A picture shows whether a recording was read as it was made: when sites respond, trial by trial,
# and to which images.

figures.show(figures.recording_sheet(mine))
temporary.cleanup()

# %%
# What may not be concluded
# -------------------------
# - A file that is read without an error may still be read wrongly: times of another clock or images
#   under other names have no fault that a program could find. Look at the picture.
# - Bins before 80 ms have no score because nothing was planted there, not because the model fails.
# - The score is that of pixels for sites that see pixels; it says nothing about V4.
