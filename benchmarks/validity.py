"""Does the score find the truth on hvm-sim? The teacher against every tiny model, and the gap that limited images leave.

    python benchmarks/validity.py [--out docs]

Writes finite_data.png and prints two tables for docs/validity.md. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

import neurofit
from neurofit.assemblies import Recording
from neurofit.data_loaders.hvm_sim import folder, load_teacher
from neurofit.extract import Activations
from neurofit.presets import make_config

TRAIN_SIZES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.75, 0.9)
LATE = {"V4": (100, 120), "IT": (130, 150)}


def main() -> None:
    """Print the tables and write the figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("docs"))
    out = parser.parse_args().out
    recording = neurofit.load_recording("hvm-sim")
    teacher = load_teacher(folder())
    models = [teacher, *(neurofit.create_model(name, pretrained=True) for name in neurofit.list_models("*_tiny"))]
    activations = {}
    for model in models:
        layers = [model.region_layers[region][0] for region in LATE]
        activations[model.name] = neurofit.extract(model, recording.stimuli, layers=layers)
    best_of_all(recording, activations, teacher.name)
    finite_data(recording, activations[teacher.name], out)


def best_of_all(recording: Recording, activations: dict[str, Activations], teacher: str) -> None:
    """Print the mean score of each model over the bins in which the teacher has one, and in how many of them the teacher is best."""
    for region in LATE:
        curves = {}
        for name, features in activations.items():
            config = make_config("nayebi2022", region=region, mapping="ridge")
            curves[name] = neurofit.score(features, recording, config).curve.values[0]
        bins = ~np.isnan(curves[teacher])
        others = np.stack([curve for name, curve in curves.items() if name != teacher])
        best = (np.nan_to_num(others[:, bins], nan=-1.0) < curves[teacher][bins]).all(axis=0)
        print(f"\n{region}: teacher best in {best.sum()} of {bins.sum()} reliable bins (ridge, per-bin)")
        for name, curve in curves.items():
            print(f"| {name} | {np.nanmean(curve[bins]):.2f} | {np.nanmin(curve[bins]):.2f} to {np.nanmax(curve[bins]):.2f} |")


def finite_data(recording: Recording, features: Activations, out: Path) -> None:
    """Score the teacher with more and more training images; draw how far it stays from 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for region, colour in zip(LATE, ("#2a5b8c", "#c2571a"), strict=True):
        for mapping, line in (("ridge", "-"), ("pls", "--")):
            scores = []
            for size in TRAIN_SIZES:
                config = make_config("nayebi2022", region=region, mapping=mapping, window=LATE[region], train_size=size, n_splits=5)
                result = neurofit.score(features, recording, replace(config, stratified=False))
                scores.append(float(result.curve.values[0].mean()))
            images = [round(size * len(recording.stimuli)) for size in TRAIN_SIZES]
            axes.plot(images, scores, line, color=colour, marker="o", label=f"{region}, {mapping}")
            print(f"{region} {mapping}: " + ", ".join(f"{n} images {score:.3f}" for n, score in zip(images, scores, strict=True)))
    axes.axhline(1, color="black", linewidth=0.6)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("training images")
    axes.set_ylabel("noise_corrected_r =\nr_xy / sqrt(r_xx * r_yy)")
    axes.set_title("hvm-sim (SIMULATED), scored with its own teacher", loc="left", fontweight="bold", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(out / "finite_data.png", dpi=150)


if __name__ == "__main__":
    main()
