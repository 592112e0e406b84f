"""Scores of the tiny zoo on hvm-sim and cowley2023: the tables of docs/tiny_zoo.md.

    python benchmarks/tiny_zoo_scores.py [--models 'rgc*_tiny'] [--recordings hvm-sim,cowley2023]
        [--modes per-bin,fixed]

Trained and untrained, in both time modes. A cell is the mean over the scored bins, or for a
recording of one bin the score with its 95 % interval over neuroids and stimuli; preset pooled with
5 splits x 5 halves.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import xarray as xr

import neurofit
from neurofit.models import list_models
from neurofit.recordings.recording import Recording

WINDOW = (70, 260)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="*_tiny")
    parser.add_argument("--recordings", default="hvm-sim,cowley2023")
    parser.add_argument("--modes", default="per-bin,fixed")
    options = parser.parse_args()
    modes = options.modes.split(",")
    torch.set_num_threads(1)
    for name in options.recordings.split(","):
        recording = neurofit.load_recording(name)
        if len(recording.time_bins) > 1:
            recording = recording.select(window=WINDOW)
        for region in recording.regions:
            area = recording.select(region=region)
            shown = modes if len(recording.time_bins) > 1 else ["per-bin"]
            headings = [f"{mode}, trained | untrained" for mode in shown]
            print(f"\n{name} {region}\n\n| model | {' | '.join(headings)} |")
            print("| --- |" + " --- | --- |" * len(shown))
            for model in list_models(options.models):
                cells = [
                    score_model(model, area, mode, trained=trained)
                    for mode in shown
                    for trained in (True, False)
                ]
                print(f"| {model} | {' | '.join(cells)} |", flush=True)


def score_model(name: str, recording: Recording, time_mode: str, *, trained: bool) -> str:
    """Return the score of a model for a recording of one region, as text."""
    model = neurofit.create_model(name, weights="auto" if trained else "random")
    layers = model.region_layers[recording.regions[0]]
    config = neurofit.ScoreConfig(
        mapping="ridge",
        time_mode=time_mode,
        layers=layers,
        n_splits=5,
        n_halves=5,
    )
    activations = neurofit.extract(
        model, recording.stimuli, layers=layers, time_bins=recording.time_bins
    )
    return format_score(neurofit.score(activations, recording, config))


def format_score(result: xr.Dataset) -> str:
    """Return the mean of a curve, or score and interval of a single bin, as text."""
    curve = result.curve.values[0]
    if len(curve) > 1:
        return f"{np.nanmean(curve):.2f}"
    low, high = (float(result[bound].values[0, 0]) for bound in ("curve_low", "curve_high"))
    return f"{curve[0]:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
