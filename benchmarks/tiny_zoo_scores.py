"""The whole tiny zoo against hvm-sim and cowley2023, trained and untrained, in both time modes: the table of docs/tiny_zoo.md.

    python benchmarks/tiny_zoo_scores.py [--models 'rgc*_tiny'] [--recordings hvm-sim,cowley2023]

Each line: mean over the bins with a score, ridge, nayebi2022 with 5 splits x 5 halves; the 95 % interval where there is one bin only.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import xarray as xr

import neurofit
from neurofit.assemblies import Recording
from neurofit.models import list_models
from neurofit.presets import make_config

WINDOW = (70, 260)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="*_tiny")
    parser.add_argument("--recordings", default="hvm-sim,cowley2023")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.recordings.split(","):
        recording = neurofit.load_recording(name)
        if len(recording.time_bins) > 1:
            recording = recording.select(window=WINDOW)
        for region in recording.regions:
            print(f"\n{name} {region}\n\n| model | per-bin, trained | untrained | fixed, trained | untrained |")
            print("| --- | --- | --- | --- | --- |")
            for model in list_models(asked.models):
                cells = [scored(model, recording, region, mode, trained=trained) for mode in modes(recording) for trained in (True, False)]
                print(f"| {model} | {' | '.join(cells)} |", flush=True)


def modes(recording: Recording) -> tuple[str, ...]:
    """Return both time modes, or the one that a single bin has."""
    return ("per-bin", "fixed") if len(recording.time_bins) > 1 else ("per-bin",)


def scored(name: str, recording: Recording, region: str, time_mode: str, *, trained: bool) -> str:
    """Return the score of a model's layers for a region in a few words."""
    model = neurofit.create_model(name, pretrained=trained)
    layers = model.region_layers[region]
    config = make_config("nayebi2022", region=region, mapping="ridge", time_mode=time_mode, layers=layers, n_splits=5, n_halves=5)
    activations = neurofit.extract(model, recording.stimuli, layers=layers, time_bins=recording.time_bins)
    return in_words(neurofit.score(activations, recording, config))


def in_words(result: xr.Dataset) -> str:
    """Return the mean of a curve; of a single bin its score and interval."""
    curve = result.curve.values[0]
    if len(curve) > 1:
        return f"{np.nanmean(curve):.2f}"
    low, high = (float(result[bound].values[0, 0]) for bound in ("curve_low", "curve_high"))
    return f"{curve[0]:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
