"""
How do I score 40 models on the cluster?
========================================

A study file states models, areas and options; each combination is a cell, which is computed once.
Here a study of 40 models is planned but not run, a small study is computed on this machine, and its
page is written. On a cluster the same file is given with ``--cluster slurm``.

Difficulty: intermediate. Time: about 50 s on two cores.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt

import neurofit
from neurofit import figures

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)


def run(command: str) -> None:
    """Run a command in the folder of the study, and print both."""
    print(f"$ {command}")
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout.rstrip())
    if done.returncode:
        raise RuntimeError(done.stderr)


# %%
# The study of 40 models
# ----------------------
# Patterns stand for registered models: ten networks without trained weights, each with four random
# seeds. ``[slurm]`` says what a job may take.

(folder / "forty.toml").write_text(
    """
models = ["*_tiny"]
weights = "random"
model_seeds = [0, 1, 2, 3]
regions = ["V4"]
windows = ["70:230"]
time_modes = ["fixed"]
exclude = [{ model = "rnn_*gating_tiny" }]

[slurm]
partition = "main"
time = 60
mem = "8GB"
cpus = 4
"""
)

# %%
# A dry run lists the cells and what they will take. Nothing is computed yet.

run("neurofit sweep forty.toml --dry-run")

# %%
# This command would submit it. It returns when the jobs are submitted; ``status`` and ``resume``
# take the same file, and a killed job costs the cell that it was computing.

print("$ neurofit sweep forty.toml --cluster slurm --partition main")
print("$ neurofit sweep status forty.toml")

# %%
# A small study on this machine
# -----------------------------
# Three trained networks and the pixels of the images, in three time bins.

(folder / "four.toml").write_text(
    """
models = ["timedecay_tiny", "simplernn_tiny", "rgc_tiny", "baseline:pixels"]
regions = ["V4"]
windows = ["80:110"]

[options]
n_splits = 3
n_halves = 2

[machine]
workers = 2
"""
)
run("neurofit sweep four.toml")

# %%
# Results are kept in ``NEUROFIT_HOME/cells``, so a second call computes nothing.

run("neurofit sweep four.toml")

# %%
# The page of the study
# ---------------------
# ``neurofit report`` writes a folder that opens in a browser without a network. Its table ranks
# models by paired tests; models that the data cannot tell apart share ranks.

run("neurofit report four.toml --out page")
table = pd.read_csv(folder / "page" / "cells.csv")
shown = ["model", "mean", "mean_low", "mean_high", "best_rank", "worst_rank"]
print(table.sort_values("mean", ascending=False)[shown].round(2).to_string(index=False))

# %%
# The same results in Python:

status = neurofit.sweep(folder / "four.toml", folder=folder / "neurofit-sweeps" / "four")
results = {cell.choices["model"]: result for cell, result in status.results()}
temporary.cleanup()

with figures.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.9), layout="constrained")
    figures.curves(results, left)
    colours = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    rows = table.set_index("model").loc[list(results)]
    for place, (colour, (model, row)) in enumerate(zip(colours, rows.iterrows(), strict=False)):
        right.plot([row.mean_low, row.mean_high], [place] * 2, color=colour)
        right.plot(row["mean"], place, "o", color=colour)
        ranks = " to ".join(dict.fromkeys(f"{r:.0f}" for r in row[["best_rank", "worst_rank"]]))
        right.text(row.mean_high, place, f"  {model}, rank {ranks}", va="center")
    right.set(xlim=(0, 0.9), ylim=(len(rows) - 0.5, -0.5), yticks=[])
    right.spines["left"].set_visible(False)
    right.set_xlabel("Mean noise-corrected r with its 95% interval")
plt.show()

# %%
# What may not be concluded
# -------------------------
# - The estimate of a dry run is for this machine, and for one process at a time.
# - Ranks are within one configuration. A model that is first in one area, window or mapping need
#   not be in another, and nothing is averaged over them.
# - With many models, the best of them is too good by chance. p values are adjusted for all pairs of
#   a study, not for the studies that were tried before it.
