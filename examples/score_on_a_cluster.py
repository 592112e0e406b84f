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
print(table.columns.tolist())

# %%
# The same results in Python:

status = neurofit.sweep(folder / "four.toml", folder=folder / "neurofit-sweeps" / "four")
results = {cell.choices["model"]: result for cell, result in status.results()}
with figures.style():
    figure, ax = plt.subplots(figsize=(4.7, 2.9), layout="constrained")
    figures.curves(results, ax)
plt.show()
temporary.cleanup()

# %%
# What may not be concluded
# -------------------------
# - The estimate of a dry run is for this machine, and for one process at a time.
# - Ranks are within one configuration. A model that is first in one area, window or mapping need
#   not be in another, and nothing is averaged over them.
# - With many models, the best of them is too good by chance. p values are adjusted for all pairs of
#   a study, not for the studies that were tried before it.
